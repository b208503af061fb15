// parallel_for on a process-wide pool of threads. Between calls they look out for the next one for a moment before they
// sleep: a launch of a small network takes microseconds, as long as to wake a thread.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "runtime/executor.h"

namespace ptmz {
namespace {

constexpr int kLooks = 1000;  // before a thread sleeps: some 50 microseconds

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <typename Done>
bool look_out(const Done& done) {
  for (int i = 0; i < kLooks; ++i, pause_briefly())
    if (done()) return true;
  return false;
}

struct Task {
  const std::function<void(int64_t, int)>* call;
  int64_t count;
  std::atomic<int64_t> next{0};
  int helpers = 0;             // that may still enter; under the pool's mutex
  std::atomic<int> active{0};  // helpers inside; changed under the pool's mutex
  std::mutex error_mutex;
  std::exception_ptr error;

  void work(int worker) {
    for (int64_t i = next++; i < count; i = next++) {
      try {
        (*call)(i, worker);
      } catch (...) {
        next = count;
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
      }
    }
  }
};

// Helper threads are started on first need and live as long as the process: a static destructor that joined them
// could wait for a job which itself waits for the exiting thread.
class Pool {
 public:
  void run(int threads, Task& task) {
    const int helpers = threads - 1;
    int wanted;
    {
      const std::lock_guard lock(mutex_);
      while (started_ < helpers) std::thread([this] { serve(); }).detach(), ++started_;
      task.helpers = helpers;
      tasks_.push_back(&task);
      ++given_;
      wanted = std::min(sleeping_, helpers - looking_);
    }
    for (int i = 0; i < wanted; ++i) wake_.notify_one();
    task.work(0);
    {
      const std::lock_guard lock(mutex_);
      std::erase(tasks_, &task);  // nobody enters any more
    }
    const auto left = [&] { return task.active == 0; };
    if (look_out(left)) return;
    std::unique_lock lock(mutex_);
    done_.wait(lock, left);
  }

 private:
  // A task that a helper may enter, or null.
  Task* open_task() const {
    for (Task* t : tasks_)
      if (t->helpers > 0 && t->next < t->count) return t;
    return nullptr;
  }

  void serve() {
    std::unique_lock lock(mutex_);
    while (true) {
      if (Task* const task = open_task()) {
        const int worker = task->helpers--;
        ++task->active;
        lock.unlock();
        task->work(worker);
        lock.lock();
        if (--task->active == 0) done_.notify_all();
        continue;
      }
      const uint64_t seen = given_;
      const auto more = [&] { return given_ != seen; };
      ++looking_;
      lock.unlock();
      look_out(more);
      lock.lock();
      --looking_;
      ++sleeping_;
      wake_.wait(lock, more);
      --sleeping_;
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Task*> tasks_;
  std::atomic<uint64_t> given_{0};  // tasks so far; changed under the mutex
  int started_ = 0, looking_ = 0, sleeping_ = 0;
};

Pool& pool() {
  static Pool* const instance = new Pool;  // never destroyed: its threads outlive main
  return *instance;
}

}  // namespace

int hardware_threads() {
#ifdef __linux__
  cpu_set_t set;  // what taskset, Slurm or a container left to this process
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? static_cast<int>(n) : 1;
}

void parallel_for(int threads, int64_t count, const std::function<void(int64_t, int)>& call) {
  if (count <= 0) return;
  threads = static_cast<int>(std::min<int64_t>(threads, count));
  Task task;
  task.call = &call;
  task.count = count;
  if (threads <= 1) {
    for (int64_t i = 0; i < count; ++i) call(i, 0);
    return;
  }
  pool().run(threads, task);
  if (task.error) std::rethrow_exception(task.error);
}

}  // namespace ptmz
