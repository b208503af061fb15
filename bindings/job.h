// Job: long work on a native thread of its own, seen from JavaScript as { promise, cancel() }.
//
// Everything that takes more than a few milliseconds goes through start_job. What the caller can rely on:
//   - `work` runs on its own thread (never libuv's pool), once it is the job's turn on the CPU or on its device. Jobs
//     of all environments of the process begin there in the order they were started: one at a time on the CPU, several
//     on a device (PTMZ_CUDA_JOBS). A waiting job can be cancelled at once.
//   - `work` polls context.stop every few milliseconds and throws Error("ABORTED", ...) when it is set. cancel(), the
//     end of the environment (process.exit, worker.terminate) and a throwing progress callback set it.
//   - `work` returns `finish`, which is called on the JavaScript thread to make the promise's value. An exception in
//     `work` rejects the promise instead, with `.code`. The promise settles at most once.
//   - `locks` are released on the job's thread after `work` has ended and before the promise settles, and so is
//     everything that `work` captured. Neither `work` nor `finish` may capture a Napi value or reference: what they
//     hold can be destroyed on either thread, also after the environment has gone. Capture shared_ptrs.
//
// A typical use:
//   std::vector<JobLock> locks{lock_exclusive(program->busy, "the program"), lock_read(x, "input x")};
//   return start_job(env, [=](JobContext& context) -> Finish {
//     const RunStats stats = program->executor.run(..., {.stop = &context.stop});
//     return [stats](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, stats.chunks); };
//   }, std::move(locks), info[2], program->device);
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "node_addon.h"
#include "runtime/vector.h"

namespace ptmz {

class JobContext {
 public:
  using Send = std::function<void(std::vector<double>, bool final)>;
  JobContext(const std::atomic<bool>& stop, Send send) : stop(stop), send_(std::move(send)) {}

  const std::atomic<bool>& stop;
  void check_stop() const;  // throws ABORTED
  // Calls onProgress(fields) soon, at most 30 times a second, without waiting: a report that comes too early or finds
  // the queue full is dropped. A `final` one waits instead. Only from the job's own thread.
  void progress(std::vector<double> fields, bool final = false);
  // True when progress() would not drop its report for coming too early, to save making one.
  bool progress_due() const;

 private:
  Send send_;
  std::chrono::steady_clock::time_point last_{};
};

using Finish = std::function<Napi::Value(Napi::Env)>;
using Work = std::function<Finish(JobContext&)>;

// Held by a job until it ends; released when the last copy is destroyed.
using JobLock = std::shared_ptr<void>;
// All three throw BUSY with the object's name. `what` reads like "input x".
JobLock lock_read(std::shared_ptr<Vector> vector, const std::string& what);
JobLock lock_write(std::shared_ptr<Vector> vector, const std::string& what);
JobLock lock_exclusive(std::shared_ptr<std::atomic<bool>> busy, const std::string& what);

// Starts `work`, which is on `device` or, where that is null, on the CPU. `on_progress` is a function, or undefined or
// null for none; it is called with a number[].
Napi::Object start_job(Napi::Env env, Work work, std::vector<JobLock> locks, Napi::Value on_progress,
                       const Device* device);

// How many jobs run side by side on a device, or on the CPU, where that is null. Throws INVALID_ARGUMENT where
// PTMZ_CUDA_JOBS is no such number.
int jobs_at_once(const Device* device);

// Asks every job that was started on this environment to stop; used by its clean-up hook.
class JobRegistry;
std::shared_ptr<JobRegistry> make_job_registry();
void stop_jobs(JobRegistry& registry);

}  // namespace ptmz
