// Replay: work on a device that comes again and again. It is launched the first time, recorded the second time and
// replayed from then on.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "backend/device.h"

namespace ptmz {

class Replay {
 public:
  // All that launches depend on: addresses and counts. What is behind the addresses may change.
  using Key = std::vector<const void*>;

  explicit Replay(DeviceStream& stream) : stream_(stream) {}
  // `issue` puts the same launches on the stream whenever it is called with this key, and nothing else.
  void run(const Key& key, const std::function<void()>& issue);
  // Addresses are about to change their meaning.
  void forget() { recordings_.clear(); }

 private:
  DeviceStream& stream_;
  std::map<Key, std::unique_ptr<DeviceRecording>> recordings_;  // null: seen once
};

// A count as a part of a key.
inline const void* key_of(int64_t count) { return reinterpret_cast<const void*>(static_cast<intptr_t>(count)); }

}  // namespace ptmz
