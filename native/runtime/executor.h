// Executor: runs a program for P members over given vectors - shared launches once, the varying ones member by member.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "compile/program.h"
#include "runtime/vector.h"

namespace ptmz {

struct RunOptions {
  int64_t members = 1;
  int threads = 0;                          // 0: all cores
  int64_t rows = 0;                         // of vectors that vary, of which the first `members` are used; 0: members
  int64_t memory_limit = 0;                 // bytes for arenas and scratch; 0: what the machine has free
  const std::atomic<bool>* stop = nullptr;  // polled between launches; throws ABORTED
};

struct RunStats {
  int64_t shared_launches = 0, varying_launches = 0;  // executed
  int64_t chunks = 0, chunk_members = 0;              // members that were in flight together
  int64_t arena_bytes = 0;                            // arenas and scratch held during the run
};

class DeviceExecutor;
class DeviceStream;
struct DeviceFault;

// Runs programs and keeps their arena between runs. One run at a time (the caller's duty).
class Executor {
 public:
  explicit Executor(std::shared_ptr<const Program> program);
  ~Executor();
  Executor(Executor&&) noexcept;
  const Program& program() const { return *program_; }
  // vectors[slot]: one row for a shared slot, `members` rows for a varying one; null where the program needs none.
  // Throws INVALID_ARGUMENT (missing, wrong dtype, rows or size), OUT_OF_MEMORY, INDEX_OUT_OF_RANGE, ABORTED.
  RunStats run(const std::vector<Vector*>& vectors, const RunOptions& options);
  // Of programs for a device: makes room for runs on `stream` with these options. A recording of enqueue() may be
  // replayed as long as the number that comes back is the same; while a stream records, room must have been made.
  int64_t reserve(const RunOptions& options, DeviceStream& stream);
  // Puts a run on `stream` and does not wait. What its kernels find wrong in the data lies in `fault` (of the device,
  // zeroed by the caller) once the stream has come there; check_fault() makes an error of it.
  void enqueue(const std::vector<Vector*>& vectors, const RunOptions& options, DeviceStream& stream,
               DeviceFault* fault);
  void check_fault(const DeviceFault& fault) const;

 private:
  DeviceExecutor& on_device();
  int64_t held_bytes() const;  // arenas and scratch
  std::shared_ptr<const Program> program_;
  bool shares_;  // whether threads share a launch
  Buffer shared_arena_, member_arenas_, scratch_;
  std::unique_ptr<DeviceExecutor> on_device_;  // of programs compiled for a device; made by the first run
};

// Calls task(i, worker) for i in [0, count) on up to `threads` threads (the caller is worker 0); rethrows the first
// exception. Work items are taken in order but finish in any order: they must not depend on each other.
void parallel_for(int threads, int64_t count, const std::function<void(int64_t item, int worker)>& task);
int hardware_threads();

}  // namespace ptmz
