// DeviceArena: the memory in which programs work on a device. Those of one job do so one after the other, so one arena
// serves them all, and the largest decides its size: a training and its evaluation need not fit side by side. Jobs that
// run side by side have an arena each.
#pragma once
#include <atomic>
#include <memory>

#include "runtime/vector.h"

namespace ptmz {

// While it lives, the calling thread runs a job on a device, on the track of this number. Jobs of one track follow each
// other and take over its arena.
class DeviceTrack {
 public:
  // `stop`: of the job, polled while it waits for memory.
  DeviceTrack(const Device& device, int number, const std::atomic<bool>& stop);
  ~DeviceTrack();
  DeviceTrack(const DeviceTrack&) = delete;

 private:
  const Device& device_;
  const int number_;
};

class DeviceArena {
 public:
  // That of the calling thread's track, of track 0 outside of jobs; given back with the last one who holds it.
  static std::shared_ptr<DeviceArena> of(const Device& device);
  // Gives back what arenas hold whose tracks no job is on; returns the bytes.
  static int64_t release_idle(const Device& device);

  DeviceArena(const Device& device, int track) : device_(device), track_(track) {}
  char* data() const { return static_cast<char*>(buffer_.data()); }
  int64_t bytes() const { return buffer_.bytes(); }
  // Of all arenas no two have the same; it changes with the address.
  int64_t generation() const { return generation_; }
  // Makes it at least so large; what lay there is lost. Throws OUT_OF_MEMORY, and it is empty then.
  void grow(int64_t bytes);
  // Empties it, and returns when other jobs have given memory back; false: none can. Of jobs that all wait for each
  // other the last one is told so. Throws ABORTED when the job is to stop.
  bool wait_for_memory();

 private:
  int64_t empty();

  const Device& device_;
  const int track_;
  Buffer buffer_;
  int64_t generation_ = 0;
};

}  // namespace ptmz
