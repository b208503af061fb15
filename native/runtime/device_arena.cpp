// The arenas by device and track, and who waits for whom.
#include "runtime/device_arena.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>

#include "backend/device.h"
#include "ir/error.h"

namespace ptmz {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(20);

struct Track {
  std::weak_ptr<DeviceArena> arena;
  const std::atomic<bool>* stop = nullptr;  // of the job that is on it; null: none
  bool waits = false;
};
// Of one device; never destroyed: finalisers run late.
struct Tracks {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<int, Track> by_number;
  int64_t jobs_ended = 0;
};
Tracks& tracks_of(const Device& device) {
  static std::mutex mutex;
  static auto& all = *new std::map<const Device*, Tracks>;
  const std::lock_guard lock(mutex);
  return all[&device];
}

thread_local int current_track = 0;
std::atomic<int64_t> last_generation{0};

}  // namespace

DeviceTrack::DeviceTrack(const Device& device, int number, const std::atomic<bool>& stop)
    : device_(device), number_(number) {
  current_track = number;
  Tracks& tracks = tracks_of(device);
  const std::lock_guard lock(tracks.mutex);
  tracks.by_number[number].stop = &stop;
}

DeviceTrack::~DeviceTrack() {
  current_track = 0;
  Tracks& tracks = tracks_of(device_);
  const std::lock_guard lock(tracks.mutex);
  tracks.by_number[number_].stop = nullptr;
  ++tracks.jobs_ended;
  tracks.changed.notify_all();
}

std::shared_ptr<DeviceArena> DeviceArena::of(const Device& device) {
  Tracks& tracks = tracks_of(device);
  const std::lock_guard lock(tracks.mutex);
  std::weak_ptr<DeviceArena>& known = tracks.by_number[current_track].arena;
  std::shared_ptr<DeviceArena> arena = known.lock();
  if (arena == nullptr) known = arena = std::make_shared<DeviceArena>(device, current_track);
  return arena;
}

int64_t DeviceArena::empty() {
  const int64_t bytes = buffer_.bytes();
  generation_ = ++last_generation;
  buffer_ = Buffer();
  return bytes;
}

void DeviceArena::grow(int64_t bytes) {
  if (bytes <= buffer_.bytes()) return;
  empty();  // old and new need not fit together
  buffer_ = Buffer(bytes, &device_);
}

int64_t DeviceArena::release_idle(const Device& device) {
  Tracks& tracks = tracks_of(device);
  const std::lock_guard lock(tracks.mutex);
  int64_t bytes = 0;
  for (const auto& [number, track] : tracks.by_number)
    if (const auto arena = track.arena.lock(); arena != nullptr && track.stop == nullptr) bytes += arena->empty();
  return bytes;
}

bool DeviceArena::wait_for_memory() {
  empty();
  if (release_idle(device_) > 0) return true;
  Tracks& tracks = tracks_of(device_);
  std::unique_lock lock(tracks.mutex);
  Track& own = tracks.by_number[track_];
  if (own.stop == nullptr) return false;  // not in a job
  const int64_t before = tracks.jobs_ended;
  const auto another_works = [&] {
    return std::any_of(tracks.by_number.begin(), tracks.by_number.end(), [&](const auto& entry) {
      return entry.first != track_ && entry.second.stop != nullptr && !entry.second.waits;
    });
  };
  own.waits = true;
  tracks.changed.notify_all();
  while (tracks.jobs_ended == before && another_works() && !*own.stop) tracks.changed.wait_for(lock, kPoll);
  own.waits = false;
  if (*own.stop) throw Error("ABORTED", "the job was stopped while it waited for memory of the device");
  return tracks.jobs_ended != before;
}

}  // namespace ptmz
