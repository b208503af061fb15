// DeviceArena: the memory in which programs work on a device. They do so one after the other, so one arena serves them
// all, and the largest decides its size: a training and its evaluation need not fit side by side.
#pragma once
#include <memory>

#include "runtime/vector.h"

namespace ptmz {

class DeviceArena {
 public:
  // That of a device; given back with the last one who holds it.
  static std::shared_ptr<DeviceArena> of(const Device& device);
  explicit DeviceArena(const Device& device) : device_(device) {}

  char* data() const { return static_cast<char*>(buffer_.data()); }
  int64_t bytes() const { return buffer_.bytes(); }
  // Changes with the address.
  int64_t generation() const { return generation_; }
  // Makes it at least so large; what lay there is lost. Throws OUT_OF_MEMORY, and it is empty then.
  void grow(int64_t bytes);

 private:
  const Device& device_;
  Buffer buffer_;
  int64_t generation_ = 0;
};

}  // namespace ptmz
