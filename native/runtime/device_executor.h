// DeviceExecutor: runs a program on a device - every launch for a whole chunk of members at once, replayed as one
// recording from the second run on.
#pragma once
#include <map>

#include "backend/device.h"
#include "runtime/executor.h"

namespace ptmz {

class DeviceExecutor {
 public:
  DeviceExecutor(const Program& program, const Device& device);
  // As Executor::run, over vectors of the device that have been checked.
  RunStats run(const std::vector<Vector*>& vectors, const RunOptions& options);

 private:
  struct Chunk {
    int64_t first, count;
  };
  // Launches with their addresses, recorded or not.
  struct Prepared {
    std::vector<std::unique_ptr<DeviceRecording>> shared, chunks;
  };
  using Addresses = std::vector<void*>;

  int64_t bytes_for(int64_t chunk) const;
  int64_t reserve(const RunOptions& options);
  void issue(const std::vector<Launch>& list, const std::vector<Vector*>& vectors, Chunk chunk,
             const RunOptions& options);
  void issue_or_replay(std::unique_ptr<DeviceRecording>& recording, bool record, const std::vector<Launch>& list,
                       const std::vector<Vector*>& vectors, Chunk chunk, const RunOptions& options);
  void finish_what_was_issued() noexcept;
  void report_fault();

  const Program& program_;
  const Device& device_;
  std::unique_ptr<DeviceStream> stream_;
  Buffer fault_, shared_arena_, member_arenas_, scratch_;
  int64_t chunk_ = 0;  // members that the buffers hold
  int64_t shared_scratch_ = 0, member_scratch_ = 0;
  std::map<Addresses, Prepared> prepared_;
};

}  // namespace ptmz
