// The boundary of libptmz_cuda: a table of plain functions over plain structs, so that the addon loads the library
// when a device is asked for, runs without it, and shares no C++ runtime with it.
#pragma once
#include <cstdint>

#include "backend/device_launch.h"
#include "backend/step_task.h"

namespace ptmz::cuda {

// Counts up whenever one side expects something else of the other, be it in what a launch means.
inline constexpr int32_t kApiVersion = 5;

enum class Status : int32_t { ok, out_of_memory, failed };

// Why there are no devices, or how many there are.
struct DriverReport {
  int32_t driver_version, runtime_version, device_count;  // versions as 1000 * major + 10 * minor; driver 0: none
  char reason[256];                                       // empty where there are devices
  char cublas[128];                                       // its version, or why there is none
};
struct DeviceReport {
  char name[256];
  int32_t major, minor, multiprocessors;
  int64_t total_bytes, free_bytes;
};
struct Stream;     // launches of one device, in order
struct Recording;  // launches that are replayed together
struct Mark;       // a place in a stream

// Functions that return a Status leave a text in last_error() of the calling thread.
struct Api {
  int32_t version;
  const char* (*last_error)();
  void (*driver)(DriverReport* report);
  Status (*device)(int32_t device, DeviceReport* report);
  Status (*allocate)(int32_t device, int64_t bytes, void** pointer);
  void (*release)(int32_t device, void* pointer);
  Status (*allocate_pinned)(int32_t device, int64_t bytes, void** pointer);  // of the host
  void (*release_pinned)(int32_t device, void* pointer);
  Status (*open)(int32_t device, Stream** stream);
  void (*close)(Stream* stream);
  // Copies wait for what the stream was given before; those from and to the host return when they are done.
  Status (*read)(Stream* stream, void* host, const void* from, int64_t bytes);
  Status (*write)(Stream* stream, void* to, const void* host, int64_t bytes);
  // Returns at once.
  Status (*write_later)(Stream* stream, void* to, const void* pinned, int64_t bytes);
  Status (*copy)(Stream* stream, void* to, const void* from, int64_t bytes);
  Status (*zero)(Stream* stream, void* to, int64_t bytes);
  void (*prepare)(Launch* launch, DType real);  // its scratch and tickets
  int32_t (*takes_whole_channels)(const Launch* norm);
  int32_t (*runs_beside)(const Launch* launch, DType real);
  Status (*launch)(Stream* stream, const DeviceLaunch* launch);
  Status (*launch_beside)(Stream* stream, const DeviceLaunch* launches, int64_t count);
  Status (*step)(Stream* stream, const StepTask* task);
  Status (*wait)(Stream* stream);
  Status (*mark)(Stream* stream, Mark** mark);
  Status (*wait_for)(Mark* mark);
  void (*forget_mark)(Mark* mark);
  Status (*begin_recording)(Stream* stream);
  Status (*end_recording)(Stream* stream, Recording** recording);
  Status (*replay)(Stream* stream, Recording* recording);
  void (*forget)(Recording* recording);
};

// The library's only symbol.
using GetApi = const Api* (*)();
inline constexpr const char* kGetApi = "ptmz_cuda_api";

}  // namespace ptmz::cuda
