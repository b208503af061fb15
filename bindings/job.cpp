// The job mechanism on std::thread and a raw napi_threadsafe_function (Napi::AsyncProgressQueueWorker aborts the
// process when a worker thread is terminated during a run). Life of a job: start_job -> thread -> progress messages ->
// one settling message -> finalize, which also comes without the others when the environment ends, and joins. At
// process.exit Node ends the main environment without that, so stop_at_exit waits for the running job: destructors of
// libraries (OpenBLAS) would take its memory away.
#include "job.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "backend/device.h"
#include "convert.h"
#include "environment.h"
#include "errors.h"
#include "runtime/device_arena.h"

namespace ptmz {

// The small launches of a job do not fill a device. On the CPU it is one, which has all cores.
int jobs_at_once(const Device* device) {
  constexpr int kUsual = 4, kMost = 1024;
  if (device == nullptr) return 1;
  return static_cast<int>(std::min<int64_t>(environment_number("PTMZ_CUDA_JOBS", 1, kUsual), kMost));
}

namespace {

constexpr size_t kQueueLength = 64;
constexpr auto kProgressInterval = std::chrono::milliseconds(33);
constexpr auto kLongestExit = std::chrono::seconds(10);  // far longer than any launch

// The jobs of the process that have not ended, in the order they were started. Never destroyed: a thread may outlive
// statics.
class Place;
struct Line {
  std::mutex mutex;
  std::condition_variable moved;
  std::deque<Place*> places;
};
Line& line() {
  static Line& line = *new Line;
  return line;
}

// The stop flag of a job, shared with its cancel() and with its environment, which both may outlive the job.
struct Stop {
  std::atomic<bool> flag{false};
  void request() {
    std::lock_guard lock(line().mutex);
    flag = true;
    line().moved.notify_all();
  }
};

class Place {
 public:
  Place(Stop& stop, const Device* device) : stop_(stop), device_(device), tracks_(jobs_at_once(device)) {
    std::lock_guard lock(line().mutex);
    line().places.push_back(this);
  }
  ~Place() {
    std::lock_guard lock(line().mutex);
    std::erase(line().places, this);
    line().moved.notify_all();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  // Until it is the job's turn; on which track of its device it is then.
  int wait() {
    std::unique_lock lock(line().mutex);
    line().moved.wait(lock, [&] { return stop_.flag || takes_track(); });
    if (stop_.flag) throw Error("ABORTED", "the job was stopped before it began");
    return track_;
  }
  void stop() { stop_.flag = true; }  // with the line's mutex held

 private:
  // The lowest free one, if all who came before for the same device have theirs.
  bool takes_track() {
    std::vector<bool> free(static_cast<size_t>(tracks_), true);
    for (const Place* place : line().places) {
      if (place->device_ != device_) continue;
      if (place == this) break;
      if (place->track_ < 0) return false;
    }
    for (const Place* place : line().places)
      if (place->device_ == device_ && place->track_ >= 0 && place->track_ < static_cast<int>(free.size()))
        free[static_cast<size_t>(place->track_)] = false;
    const auto found = std::find(free.begin(), free.end(), true);
    if (found == free.end()) return false;
    track_ = static_cast<int>(found - free.begin());
    line().moved.notify_all();  // it may be the turn of the next one, too
    return true;
  }

  Stop& stop_;
  const Device* const device_;  // null: the CPU
  const int tracks_;            // that the device had when it was started
  int track_ = -1;              // while it is not its turn
};

void stop_at_exit() {
  std::unique_lock lock(line().mutex);
  for (Place* place : line().places) place->stop();
  line().moved.notify_all();
  line().moved.wait_for(lock, kLongestExit, [] { return line().places.empty(); });
}

struct Message {
  std::vector<double> fields;
  bool settles = false;
};

struct Job {
  explicit Job(const Device* on) : device(on) {}
  const Device* const device;  // null: the CPU
  std::shared_ptr<Stop> stop = std::make_shared<Stop>();
  std::shared_ptr<JobRegistry> registry;
  std::optional<Place> place{std::in_place, *stop, device};
  Work work;
  std::vector<JobLock> locks;
  Finish finish;
  Failure failure;  // in force while `finish` is empty
  napi_deferred deferred = nullptr;
  napi_threadsafe_function send = nullptr;
  std::unique_ptr<Message> last = std::make_unique<Message>(Message{{}, true});  // ready, so that it cannot fail
  std::thread thread;

  // Gives everything back but the result.
  void end() {
    work = nullptr;
    locks.clear();
    place.reset();
  }
};

void run(Job& job) {
  const auto report = [&](std::vector<double> fields, bool final) {
    auto message = std::make_unique<Message>(Message{std::move(fields), false});
    napi_status status;
    // Not a blocking call: that would not hear of stop.
    while ((status = napi_call_threadsafe_function(job.send, message.get(), napi_tsfn_nonblocking)) ==
               napi_queue_full &&
           final && !job.stop->flag)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (status == napi_ok) message.release();
  };
  try {
    const int number = job.place->wait();
    std::optional<DeviceTrack> track;
    if (job.device) track.emplace(*job.device, number, job.stop->flag);
    JobContext context(job.stop->flag, report);
    job.finish = job.work(context);
  } catch (...) {
    job.failure = current_failure();
  }
  job.end();
  // Not ok: the environment is closing, and the function is no longer ours to release.
  if (napi_call_threadsafe_function(job.send, job.last.get(), napi_tsfn_blocking) != napi_ok) return;
  job.last.release();
  napi_release_threadsafe_function(job.send, napi_tsfn_release);
}

// Passes an exception of a progress callback on as uncaught and stops the run.
void fail(napi_env env, Job& job) {
  napi_value exception;
  if (napi_get_and_clear_last_exception(env, &exception) != napi_ok) return;
  job.stop->request();
  napi_fatal_exception(env, exception);
}

void call_progress(napi_env env, Job& job, napi_value callback, const std::vector<double>& fields) {
  napi_value receiver, list, number;
  if (napi_get_undefined(env, &receiver) != napi_ok) return;
  if (napi_create_array_with_length(env, fields.size(), &list) != napi_ok) return;
  for (uint32_t i = 0; i < fields.size(); ++i)
    if (napi_create_double(env, fields[i], &number) != napi_ok || napi_set_element(env, list, i, number) != napi_ok)
      return;
  if (napi_call_function(env, receiver, callback, 1, &list, nullptr) == napi_pending_exception) fail(env, job);
}

bool make_error(napi_env env, const Failure& failure, napi_value* error) {
  napi_value code, text;
  return napi_create_string_utf8(env, failure.code.data(), failure.code.size(), &code) == napi_ok &&
         napi_create_string_utf8(env, failure.message.data(), failure.message.size(), &text) == napi_ok &&
         napi_create_error(env, code, text, error) == napi_ok;
}

// False while a worker is being terminated: nothing may call into JavaScript then, and nobody waits for an answer.
bool can_run_javascript(napi_env env) {
  napi_value object;
  return napi_create_object(env, &object) == napi_ok &&
         napi_set_named_property(env, object, "probe", object) == napi_ok;
}

void settle(napi_env env, Job& job) {
  if (job.deferred == nullptr || !can_run_javascript(env)) return;
  napi_value value = nullptr;
  bool resolved = false;
  try {
    if (job.finish) value = job.finish(env);
    resolved = value != nullptr;
  } catch (const Napi::Error& error) {
    value = error.Value();
  } catch (...) {
    job.failure = current_failure();
  }
  if (value == nullptr && !make_error(env, job.failure, &value)) return;
  if (resolved) {
    napi_resolve_deferred(env, job.deferred, value);
  } else {
    napi_reject_deferred(env, job.deferred, value);
  }
  job.deferred = nullptr;
}

// On the JavaScript thread. Without an environment it only frees: the job has been finalized by then. Raw calls: the
// C++ wrappers throw where a worker is being terminated.
void on_message(napi_env env, napi_value callback, void* context, void* data) {
  const std::unique_ptr<Message> message(static_cast<Message*>(data));
  Job& job = *static_cast<Job*>(context);
  napi_handle_scope scope;
  if (env == nullptr || napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (message->settles) {
    settle(env, job);
  } else if (callback != nullptr) {
    call_progress(env, job, callback, message->fields);
  }
  napi_close_handle_scope(env, scope);
}

}  // namespace

// The stop flags of an environment's jobs that have not been finalized; used on its JavaScript thread only.
class JobRegistry {
 public:
  void add(std::shared_ptr<Stop> stop) { stops_.push_back(std::move(stop)); }
  void remove(const std::shared_ptr<Stop>& stop) { std::erase(stops_, stop); }
  void stop_all() {
    for (const auto& stop : stops_) stop->request();
  }

 private:
  std::vector<std::shared_ptr<Stop>> stops_;
};

std::shared_ptr<JobRegistry> make_job_registry() { return std::make_shared<JobRegistry>(); }
void stop_jobs(JobRegistry& registry) { registry.stop_all(); }

namespace {

// After the last message, or when the environment ends.
void finalize(napi_env, void*, void* context) {
  const std::unique_ptr<Job> job(static_cast<Job*>(context));
  job->stop->request();
  if (job->thread.joinable()) job->thread.join();
  job->registry->remove(job->stop);
}

void check_ok(Napi::Env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace

void JobContext::check_stop() const {
  if (stop) throw Error("ABORTED", "the job was stopped");
}

bool JobContext::progress_due() const { return std::chrono::steady_clock::now() - last_ >= kProgressInterval; }

void JobContext::progress(std::vector<double> fields, bool final) {
  if (!final && !progress_due()) return;
  last_ = std::chrono::steady_clock::now();
  send_(std::move(fields), final);
}

JobLock lock_read(std::shared_ptr<Vector> vector, const std::string& what) {
  vector->lock_read(what.c_str());
  return {vector.get(), [vector](void*) { vector->unlock_read(); }};
}

JobLock lock_write(std::shared_ptr<Vector> vector, const std::string& what) {
  vector->lock_write(what.c_str());
  return {vector.get(), [vector](void*) { vector->unlock_write(); }};
}

JobLock lock_exclusive(std::shared_ptr<std::atomic<bool>> busy, const std::string& what) {
  if (busy->exchange(true)) throw Error("BUSY", what + " is in use by a running job");
  return {busy.get(), [busy](void*) { *busy = false; }};
}

Napi::Object start_job(Napi::Env env, Work work, std::vector<JobLock> locks, Napi::Value on_progress,
                       const Device* device) {
  const bool reports = !on_progress.IsEmpty() && !on_progress.IsUndefined() && !on_progress.IsNull();
  if (reports && !on_progress.IsFunction()) bad_argument("onProgress", "a function", on_progress);

  // Here, not at load: exit handlers run before the destructors of statics that are older than they, and a job may use
  // any static that compiling its program has made.
  [[maybe_unused]] static const int registered = std::atexit(stop_at_exit);

  auto job = std::make_unique<Job>(device);
  job->registry = Environment::of(env).jobs;
  job->work = std::move(work);
  job->locks = std::move(locks);

  // All that JavaScript gets is made before the thread, so that nothing after it can throw.
  Napi::Object result = Napi::Object::New(env);
  napi_value promise;
  check_ok(env, napi_create_promise(env, &job->deferred, &promise));
  result["promise"] = promise;
  result["cancel"] = Napi::Function::New(
      env, [stop = job->stop](const Napi::CallbackInfo&) { stop->request(); }, "cancel");

  const napi_value callback = reports ? static_cast<napi_value>(on_progress) : nullptr;
  const Napi::String name = Napi::String::New(env, "ptmz job");
  check_ok(env, napi_create_threadsafe_function(env, callback, nullptr, name, kQueueLength, 1, job.get(), finalize,
                                                job.get(), on_message, &job->send));
  Job* const owned = job.release();  // by finalize
  owned->registry->add(owned->stop);
  try {
    owned->thread = std::thread([owned] { run(*owned); });
  } catch (const std::system_error& error) {
    owned->end();
    napi_release_threadsafe_function(owned->send, napi_tsfn_abort);
    throw Error("OUT_OF_MEMORY", std::string("could not start a thread: ") + error.what());
  }
  return result;
}

}  // namespace ptmz
