// The arenas by device.
#include "runtime/device_arena.h"

#include <map>
#include <mutex>

#include "backend/device.h"

namespace ptmz {

std::shared_ptr<DeviceArena> DeviceArena::of(const Device& device) {
  static std::mutex mutex;
  static auto& arenas = *new std::map<const Device*, std::weak_ptr<DeviceArena>>;  // finalisers run late
  const std::lock_guard lock(mutex);
  std::shared_ptr<DeviceArena> arena = arenas[&device].lock();
  if (arena == nullptr) arenas[&device] = arena = std::make_shared<DeviceArena>(device);
  return arena;
}

void DeviceArena::grow(int64_t bytes) {
  if (bytes <= buffer_.bytes()) return;
  ++generation_;
  buffer_ = Buffer();  // old and new need not fit together
  buffer_ = Buffer(bytes, &device_);
}

}  // namespace ptmz
