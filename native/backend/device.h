// Device: a backend with memory of its own, which runs launches for all members of a chunk at once.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/device_launch.h"
#include "backend/step_task.h"

namespace ptmz {

// Launches that were recorded once and are replayed together.
class DeviceRecording {
 public:
  virtual ~DeviceRecording() = default;
};

// A place in the work of a stream.
class DeviceMark {
 public:
  virtual ~DeviceMark() = default;
  // Returns when all work before it is done. From any thread.
  virtual void wait() = 0;
};

// Work of one device in order. Every call may throw GPU_ERROR, which also names an earlier launch that failed late.
class DeviceStream {
 public:
  virtual ~DeviceStream() = default;
  virtual void launch(const DeviceLaunch& launch) = 0;
  // Launches that have no order among themselves.
  virtual void launch_beside(const std::vector<DeviceLaunch>& launches) = 0;
  virtual void step(const StepTask& task) = 0;
  virtual void zero(void* to, int64_t bytes) = 0;
  virtual void copy(void* to, const void* from, int64_t bytes) = 0;
  // These two return when the copy is done.
  virtual void read(void* host, const void* from, int64_t bytes) = 0;
  virtual void write(void* to, const void* host, int64_t bytes) = 0;
  // This one returns at once: memory from allocate_pinned() must stay as it is until a later mark is passed.
  virtual void write_later(void* to, const void* pinned, int64_t bytes) = 0;
  virtual std::unique_ptr<DeviceMark> mark() = 0;
  virtual void wait() = 0;
  // Launches in between are recorded, not run.
  virtual void begin_recording() = 0;
  virtual std::unique_ptr<DeviceRecording> end_recording() = 0;
  virtual void replay(DeviceRecording& recording) = 0;
};

class Device : public Backend {
 public:
  const Device* device() const final { return this; }
  ImageOrder image_order(int64_t channels) const final;
  // Launches run through streams, for many members at once.
  void run(const Launch&, const Instr*, DType, void* const*, int64_t, int64_t, void*, KernelFault&) const final;

  // Whether the sums over a channel of a batch norm are one block's, which can then go on with what needs them.
  virtual bool takes_whole_channels(const Launch& norm) const = 0;
  // Whether launches such as this one gain from running at the same time as others such as this one.
  virtual bool runs_beside(const Launch& launch, DType real) const = 0;
  // Uninitialised; null where it does not fit.
  virtual void* allocate(int64_t bytes) const = 0;
  virtual void release(void* pointer) const noexcept = 0;
  // Memory of the host that the device reads by itself; uninitialised, null where it does not fit.
  virtual void* allocate_pinned(int64_t bytes) const = 0;
  virtual void release_pinned(void* pointer) const noexcept = 0;
  virtual int64_t free_bytes() const = 0;
  virtual std::unique_ptr<DeviceStream> open_stream() const = 0;
  // A stream for copies of vectors, one caller at a time.
  virtual DeviceStream& transfers() const = 0;
};

// The fewest channels of images that lie with the channel last on a device: $PTMZ_CUDA_CHANNELS_LAST.
int64_t channels_last_from();
// For tests: another number, or with 0 the one that it was at first.
void use_channels_last_from(int64_t channels);

// Whether a variable of the environment is set to anything but nothing and 0.
bool environment_flag(const char* name);
// A whole number of the environment, or `otherwise` where it is not set. Throws INVALID_ARGUMENT where it is none or
// below `least`.
int64_t environment_number(const char* name, int64_t least, int64_t otherwise);

// What `ptmz doctor` says about one kind of device.
struct DeviceDescription {
  std::string name;    // "cuda:0", or "cuda" where there is none
  std::string detail;  // the card and the driver, empty where there is none
  std::string reason;  // why there is none
};
std::vector<DeviceDescription> describe_devices();

// "cpu", "cuda" (the first one) or "cuda:N". Throws INVALID_ARGUMENT, or CUDA_UNAVAILABLE with the reason.
const Backend& backend_of(const std::string& device);

}  // namespace ptmz
