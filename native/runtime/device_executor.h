// DeviceExecutor: runs a program on a device - every launch for a whole chunk of members at once, replayed as one
// recording from the second run on.
#pragma once
#include "runtime/executor.h"
#include "runtime/replay.h"

namespace ptmz {

// Throws INDEX_OUT_OF_RANGE where a launch of the program has reported a fault.
void check_fault(const Program& program, const DeviceFault& fault);

class DeviceExecutor {
 public:
  DeviceExecutor(const Program& program, const Device& device);
  // As Executor::run, over vectors of the device that have been checked.
  RunStats run(const std::vector<Vector*>& vectors, const RunOptions& options);
  // As Executor::reserve and enqueue.
  int64_t reserve_for(const RunOptions& options);
  void enqueue(const std::vector<Vector*>& vectors, const RunOptions& options, DeviceStream& stream,
               DeviceFault* fault);

 private:
  struct Chunk {
    int64_t first, count;
  };
  // Where launches go, and where their kernels report faults.
  struct Target {
    DeviceStream& stream;
    DeviceFault* fault;
  };

  int64_t bytes_for(int64_t chunk) const;
  int64_t reserve(const RunOptions& options);
  void issue(const std::vector<Launch>& list, const std::vector<Vector*>& vectors, Chunk chunk,
             const RunOptions& options, Target target);
  void finish_what_was_issued() noexcept;
  void report_fault();

  const Program& program_;
  const Device& device_;
  std::unique_ptr<DeviceStream> stream_;
  Buffer fault_, shared_arena_, member_arenas_, scratch_;
  int64_t chunk_ = 0;       // members that the buffers hold
  int64_t generation_ = 0;  // of the buffers
  int64_t shared_scratch_ = 0, member_scratch_ = 0;
  Replay replay_;
};

}  // namespace ptmz
