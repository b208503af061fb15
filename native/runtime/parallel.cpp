// parallel_for on a process-wide pool of threads that sleep between calls.
#include <sched.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "runtime/executor.h"

namespace ptmz {
namespace {

struct Task {
  const std::function<void(int64_t, int)>* call;
  int64_t count;
  std::atomic<int64_t> next{0};
  std::atomic<int> helpers{0};  // that may still enter
  int active = 0;               // helpers inside; under the pool's mutex
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
    {
      const std::lock_guard lock(mutex_);
      while (started_ < helpers) std::thread([this] { serve(); }).detach(), ++started_;
      task.helpers = helpers;
      tasks_.push_back(&task);
    }
    for (int i = 0; i < helpers; ++i) wake_.notify_one();
    task.work(0);
    std::unique_lock lock(mutex_);
    std::erase(tasks_, &task);
    done_.wait(lock, [&] { return task.active == 0; });
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    while (true) {
      Task* task = nullptr;
      wake_.wait(lock, [&] {
        for (Task* t : tasks_)
          if (t->helpers > 0 && t->next < t->count) return task = t, true;
        return false;
      });
      const int worker = task->helpers--;
      ++task->active;
      lock.unlock();
      task->work(worker);
      lock.lock();
      if (--task->active == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Task*> tasks_;
  int started_ = 0;
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
