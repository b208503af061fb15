// DeviceExecutor: runs a program on a device - every launch for a whole chunk of members at once, replayed as one
// recording from the second run on.
#pragma once
#include "runtime/device_arena.h"
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
  int64_t reserve(const RunOptions& options, DeviceStream& stream);
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

  // The request for which a chunk was chosen, and the arena that it was chosen for.
  struct Choice {
    int64_t members = -1, memory_limit = 0, generation = -1;
    bool operator==(const Choice&) const = default;
  };

  int64_t bytes_for(int64_t chunk) const;
  int64_t choose_chunk(const RunOptions& options, DeviceStream& stream);
  // False: not even one member fits.
  bool find_chunk(const RunOptions& options, DeviceStream& stream);
  void take_tickets(int64_t chunk, DeviceStream& stream);
  int64_t limit(const RunOptions& options) const;  // bytes that a run may take
  void issue(const std::vector<Launch>& list, const std::vector<Vector*>& vectors, Chunk chunk,
             const RunOptions& options, Target target);
  void finish_what_was_issued() noexcept;
  void report_fault();

  const Program& program_;
  const Device& device_;
  std::unique_ptr<DeviceStream> stream_;
  Buffer fault_;
  std::shared_ptr<DeviceArena> arena_;  // of the shared part, then the chunk's members, then scratch
  const int64_t shared_scratch_, member_scratch_, shared_tickets_, member_tickets_;
  Buffer tickets_;
  Choice choice_;
  int64_t chunk_ = 0;  // members that it holds
  Replay replay_;
};

}  // namespace ptmz
