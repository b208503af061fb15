// CudaDevice: a Device behind libptmz_cuda's table of functions.
#include "backend/cuda/device.h"

#include <cstdlib>
#include <map>
#include <mutex>

#include "backend/cuda/load.h"
#include "backend/cuda/way.h"
#include "ir/error.h"

namespace ptmz::cuda {
namespace {

class CudaRecording final : public DeviceRecording {
 public:
  CudaRecording(const Api& api, Recording* recording) : api_(api), recording_(recording) {}
  ~CudaRecording() override { api_.forget(recording_); }
  Recording* get() const { return recording_; }

 private:
  const Api& api_;
  Recording* const recording_;
};

class CudaMark final : public DeviceMark {
 public:
  CudaMark(const Api& api, std::string device, Mark* mark) : api_(api), device_(std::move(device)), mark_(mark) {}
  ~CudaMark() override { api_.forget_mark(mark_); }
  void wait() override {
    if (api_.wait_for(mark_) != Status::ok) throw Error("GPU_ERROR", device_ + ": " + api_.last_error());
  }

 private:
  const Api& api_;
  const std::string device_;
  Mark* const mark_;
};

class CudaStream final : public DeviceStream {
 public:
  CudaStream(const Api& api, int32_t device, std::string name) : api_(api), name_(std::move(name)) {
    check(api.open(device, &stream_));
  }
  ~CudaStream() override { api_.close(stream_); }

  void launch(const DeviceLaunch& launch) override {
    launched(api_.launch(stream_, &launch), [&] { return name_of(launch); });
  }
  void launch_beside(const std::vector<DeviceLaunch>& launches) override {
    launched(api_.launch_beside(stream_, launches.data(), static_cast<int64_t>(launches.size())),
             [&] { return std::to_string(launches.size()) + " side by side, from " + name_of(launches[0]); });
  }
  void step(const StepTask& task) override {
    launched(api_.step(stream_, &task), [&] { return std::string(ptmz::name(task.code)); });
  }
  void zero(void* to, int64_t bytes) override {
    if (bytes > 0) check(api_.zero(stream_, to, bytes));
  }
  void copy(void* to, const void* from, int64_t bytes) override {
    if (bytes > 0) check(api_.copy(stream_, to, from, bytes));
  }
  void read(void* host, const void* from, int64_t bytes) override {
    if (bytes > 0) check(api_.read(stream_, host, from, bytes));
  }
  void write(void* to, const void* host, int64_t bytes) override {
    if (bytes > 0) check(api_.write(stream_, to, host, bytes));
  }
  void write_later(void* to, const void* pinned, int64_t bytes) override {
    if (bytes > 0) check(api_.write_later(stream_, to, pinned, bytes));
  }
  std::unique_ptr<DeviceMark> mark() override {
    Mark* mark = nullptr;
    check(api_.mark(stream_, &mark));
    return std::make_unique<CudaMark>(api_, name_, mark);
  }
  void wait() override { check(api_.wait(stream_)); }
  void begin_recording() override { check(api_.begin_recording(stream_)); }
  std::unique_ptr<DeviceRecording> end_recording() override {
    Recording* recording = nullptr;
    check(api_.end_recording(stream_, &recording));
    return std::make_unique<CudaRecording>(api_, recording);
  }
  void replay(DeviceRecording& recording) override {
    check(api_.replay(stream_, static_cast<CudaRecording&>(recording).get()));
  }

 private:
  static std::string name_of(const DeviceLaunch& given) {
    return std::string(ptmz::name(given.launch->code)) + " (node %" + std::to_string(given.launch->node) + ")";
  }
  // With PTMZ_CUDA_SYNC every launch is waited for, so that an error names the one it happened in.
  template <typename Name>
  void launched(Status status, const Name& name) {
    static const bool one_by_one = environment_flag("PTMZ_CUDA_SYNC");
    if (status == Status::ok && one_by_one) status = api_.wait(stream_);
    if (status != Status::ok) fail(" in launch " + name());
  }
  void check(Status status) {
    if (status != Status::ok) fail("");
  }
  [[noreturn]] void fail(const std::string& where) {
    throw Error("GPU_ERROR", name_ + where + ": " + api_.last_error());
  }

  const Api& api_;
  const std::string name_;
  Stream* stream_ = nullptr;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(const Api& api, int32_t index)
      : api_(api),
        index_(index),
        name_("cuda:" + std::to_string(index)),
        transfers_(std::make_unique<CudaStream>(api, index, name_)) {}

  const char* name() const override { return name_.c_str(); }
  bool maps_behind_products() const override { return true; }
  bool has_reduced_precision() const override { return true; }

  void prepare(Launch& launch, DType real) const override {
    launch.blocks = 1;
    api_.prepare(&launch, real);
  }

  bool takes_whole_channels(const Launch& norm) const override { return api_.takes_whole_channels(&norm) != 0; }
  bool runs_beside(const Launch& launch, DType real) const override { return api_.runs_beside(&launch, real) != 0; }
  void* allocate(int64_t bytes) const override { return allocate(api_.allocate, bytes); }
  void release(void* pointer) const noexcept override { api_.release(index_, pointer); }
  void* allocate_pinned(int64_t bytes) const override { return allocate(api_.allocate_pinned, bytes); }
  void release_pinned(void* pointer) const noexcept override { api_.release_pinned(index_, pointer); }
  int64_t free_bytes() const override {
    DeviceReport report;
    if (api_.device(index_, &report) != Status::ok) throw Error("GPU_ERROR", name_ + ": " + api_.last_error());
    return report.free_bytes;
  }
  std::unique_ptr<DeviceStream> open_stream() const override {
    return std::make_unique<CudaStream>(api_, index_, name_);
  }
  DeviceStream& transfers() const override { return *transfers_; }

 private:
  void* allocate(Status (*take)(int32_t, int64_t, void**), int64_t bytes) const {
    void* pointer = nullptr;
    switch (take(index_, bytes, &pointer)) {
      case Status::ok:
        return pointer;
      case Status::out_of_memory:
        return nullptr;
      default:
        throw Error("GPU_ERROR", name_ + ": " + api_.last_error());
    }
  }

  const Api& api_;
  const int32_t index_;
  const std::string name_;
  const std::unique_ptr<CudaStream> transfers_;
};

std::string version_text(int32_t version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

std::vector<DeviceDescription> describe() {
  const LoadedLibrary& library = loaded_library();
  if (library.api == nullptr) return {{"cuda", "", library.reason}};
  DriverReport driver;
  library.api->driver(&driver);
  if (driver.device_count == 0) return {{"cuda", "", driver.reason}};
  std::vector<DeviceDescription> all;
  for (int32_t i = 0; i < driver.device_count; ++i) {
    const std::string name = "cuda:" + std::to_string(i);
    DeviceReport device;
    if (library.api->device(i, &device) != Status::ok) {
      all.push_back({name, "", library.api->last_error()});
      continue;
    }
    all.push_back({name,
                   std::string(device.name) + ", compute capability " + std::to_string(device.major) + "." +
                       std::to_string(device.minor) + ", " + std::to_string(device.total_bytes >> 20) +
                       " MiB, driver for CUDA " + version_text(driver.driver_version) + ", cuBLAS " + driver.cublas,
                   ""});
  }
  return all;
}

const Device& open_device(int index) {
  const LoadedLibrary& library = loaded_library();
  const std::string name = "cuda:" + std::to_string(index);
  if (library.api == nullptr) throw Error("CUDA_UNAVAILABLE", "device '" + name + "': " + library.reason);
  return open_device(*library.api, index);
}

const Device& open_device(const Api& api, int index) {
  const char* const way = std::getenv("PTMZ_CUDA_CONVOLUTIONS");
  if (way != nullptr && *way != '\0' && !way_named(way))
    throw Error("INVALID_ARGUMENT",
                std::string("PTMZ_CUDA_CONVOLUTIONS: expected tiles, narrow or columns, got '") + way + "'");
  const std::string name = "cuda:" + std::to_string(index);
  DriverReport driver;
  api.driver(&driver);
  if (driver.device_count == 0) throw Error("CUDA_UNAVAILABLE", "device '" + name + "': " + driver.reason);
  if (index >= driver.device_count)
    throw Error("CUDA_UNAVAILABLE", "device '" + name + "': expected a number below " +
                                        std::to_string(driver.device_count) + ", the number of GPUs here");
  // Never destroyed: vectors may be released by finalisers as late as the process ends.
  static std::mutex mutex;
  static auto& open = *new std::map<std::pair<const Api*, int>, const Device*>;
  const std::lock_guard lock(mutex);
  const Device*& device = open[{&api, index}];
  if (device == nullptr) device = new CudaDevice(api, index);
  return *device;
}

}  // namespace ptmz::cuda
