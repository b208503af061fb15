// libptmz_cuda's table of functions: devices, memory, streams and recordings of the CUDA runtime.
#include <cstdio>
#include <cstring>
#include <memory>

#include "backend/cuda/api.h"
#include "backend/cuda/beside.h"
#include "backend/cuda/columns.h"
#include "backend/cuda/cublas_lt.h"
#include "backend/cuda/cut.h"
#include "backend/cuda/enqueue.h"
#include "backend/cuda/enqueue_step.h"
#include "backend/cuda/matmul.h"
#include "backend/cuda/way.h"

namespace ptmz::cuda {

struct Stream {
  int32_t device;
  cudaStream_t stream;
  std::unique_ptr<Products> products;
};
struct Recording {
  int32_t device;
  cudaGraphExec_t exec;
};
struct Mark {
  int32_t device;
  cudaEvent_t event;
};

namespace {

thread_local char error_text[256];

Status failed(cudaError_t error, const char* what) {
  std::snprintf(error_text, sizeof error_text, "%s: %s (%s)", what, cudaGetErrorString(error), cudaGetErrorName(error));
  cudaGetLastError();  // one that is not sticky ends here
  return error == cudaErrorMemoryAllocation ? Status::out_of_memory : Status::failed;
}
Status check(cudaError_t error, const char* what) { return error == cudaSuccess ? Status::ok : failed(error, what); }

// Runs `call` with the device current on this thread.
template <typename F>
Status on(int32_t device, const char* what, F call) {
  const cudaError_t error = cudaSetDevice(device);
  return check(error == cudaSuccess ? call() : error, what);
}

const char* last_error() { return error_text; }

void driver(DriverReport* report) {
  *report = {};
  cudaDriverGetVersion(&report->driver_version);
  cudaRuntimeGetVersion(&report->runtime_version);
  std::snprintf(report->cublas, sizeof report->cublas, "%s%s", cublas().version.c_str(),
                cublas_lt().available() ? " with cuBLASLt" : "");
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  report->device_count = error == cudaSuccess ? count : 0;
  if (report->device_count > 0) return;
  const int have = report->driver_version, need = report->runtime_version;
  if (have == 0) {
    std::snprintf(report->reason, sizeof report->reason, "no NVIDIA driver is installed");
  } else if (error == cudaErrorInsufficientDriver) {
    std::snprintf(report->reason, sizeof report->reason,
                  "the NVIDIA driver is too old: it supports CUDA %d.%d, this build needs %d.0 or later", have / 1000,
                  have % 1000 / 10, need / 1000);
  } else if (error == cudaSuccess || error == cudaErrorNoDevice) {
    std::snprintf(report->reason, sizeof report->reason,
                  "the driver sees no GPU (is CUDA_VISIBLE_DEVICES set to hide it?)");
  } else {
    std::snprintf(report->reason, sizeof report->reason, "the driver answers: %s", cudaGetErrorString(error));
  }
}

Status device(int32_t index, DeviceReport* report) {
  cudaDeviceProp properties;
  size_t free = 0, total = 0;
  const Status status = on(index, "asking for the device", [&] {
    const cudaError_t error = cudaGetDeviceProperties(&properties, index);
    return error == cudaSuccess ? cudaMemGetInfo(&free, &total) : error;
  });
  if (status != Status::ok) return status;
  *report = {};
  std::snprintf(report->name, sizeof report->name, "%s", properties.name);
  report->major = properties.major;
  report->minor = properties.minor;
  report->multiprocessors = properties.multiProcessorCount;
  report->total_bytes = static_cast<int64_t>(total);
  report->free_bytes = static_cast<int64_t>(free);
  return Status::ok;
}

Status allocate(int32_t index, int64_t bytes, void** pointer) {
  return on(index, "allocating", [&] { return cudaMalloc(pointer, static_cast<size_t>(bytes)); });
}
void release(int32_t index, void* pointer) {
  on(index, "releasing", [&] { return cudaFree(pointer); });
}
Status allocate_pinned(int32_t index, int64_t bytes, void** pointer) {
  return on(index, "allocating memory of the host",
            [&] { return cudaHostAlloc(pointer, static_cast<size_t>(bytes), cudaHostAllocDefault); });
}
void release_pinned(int32_t index, void* pointer) {
  on(index, "releasing memory of the host", [&] { return cudaFreeHost(pointer); });
}

Status open(int32_t index, Stream** stream) {
  auto opened = std::make_unique<Stream>(Stream{index, nullptr, nullptr});
  const Status status =
      on(index, "opening a stream", [&] { return cudaStreamCreateWithFlags(&opened->stream, cudaStreamNonBlocking); });
  if (status != Status::ok) return status;
  opened->products = std::make_unique<Products>(cublas(), cublas_lt(), opened->stream);
  *stream = opened.release();
  return Status::ok;
}
void close(Stream* stream) {
  on(stream->device, "closing a stream", [&] {
    stream->products.reset();
    return cudaStreamDestroy(stream->stream);
  });
  delete stream;
}

Status wait(Stream* s) {
  return on(s->device, "waiting", [&] { return cudaStreamSynchronize(s->stream); });
}
Status transfer(Stream* s, void* to, const void* from, int64_t bytes, cudaMemcpyKind kind, const char* what) {
  return on(s->device, what, [&] { return cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, s->stream); });
}
Status read(Stream* s, void* host, const void* from, int64_t bytes) {
  const Status status = transfer(s, host, from, bytes, cudaMemcpyDeviceToHost, "copying from the device");
  return status == Status::ok ? wait(s) : status;
}
Status write(Stream* s, void* to, const void* host, int64_t bytes) {
  const Status status = transfer(s, to, host, bytes, cudaMemcpyHostToDevice, "copying to the device");
  return status == Status::ok ? wait(s) : status;
}
Status write_later(Stream* s, void* to, const void* pinned, int64_t bytes) {
  return transfer(s, to, pinned, bytes, cudaMemcpyHostToDevice, "copying to the device");
}
Status copy(Stream* s, void* to, const void* from, int64_t bytes) {
  return transfer(s, to, from, bytes, cudaMemcpyDeviceToDevice, "copying on the device");
}
Status zero(Stream* s, void* to, int64_t bytes) {
  return on(s->device, "clearing", [&] { return cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), s->stream); });
}

// With the instructions behind the product, in the same launch or in one of their own.
cudaError_t multiply(Stream& s, const DeviceLaunch& given, const MatrixProduct& product) {
  const Launch& l = *given.launch;
  const auto bias = bias_behind(given);
  if (bias && s.products->multiply_with_bias(product, *bias, l.precision)) return cudaSuccess;
  const cudaError_t error = s.products->multiply(product, given.real, l.precision);
  return error != cudaSuccess || l.instr_count == 0 ? error : enqueue(MapBehind(given).launch(), s.stream);
}

// What is not for cuBLAS is for our own kernels, which know no other precision than the program's.
cudaError_t compute(Stream& s, const DeviceLaunch& given) {
  const Launch& l = *given.launch;
  if (l.code == LaunchCode::matmul) {
    const auto product = large_product(given);
    if (product && s.products->open()) return multiply(s, given, *product);
  } else if (is_convolution(l.code)) {
    const bool columns = way_of(l, given.real, cublas().available()) == Way::columns;
    if (columns && s.products->open()) return multiply_columns(given, *s.products, s.stream);
  }
  return enqueue(given, s.stream);
}

Status launch(Stream* s, const DeviceLaunch* given) {
  return on(s->device, name(given->launch->code), [&] { return compute(*s, *given); });
}
Status launch_beside(Stream* s, const DeviceLaunch* launches, int64_t count) {
  return on(s->device, "launches side by side", [&] { return enqueue_beside(launches, count, s->stream); });
}
Status step(Stream* s, const StepTask* task) {
  return on(s->device, name(task->code), [&] { return enqueue(*task, s->stream); });
}
void prepare_launch(Launch* l, DType real) { prepare(*l, real); }
int32_t whole_channels(const Launch* norm) { return takes_whole_channels(*norm) ? 1 : 0; }
int32_t beside(const Launch* l, DType real) { return runs_beside(*l, real) ? 1 : 0; }

Status mark(Stream* s, Mark** mark) {
  auto made = std::make_unique<Mark>(Mark{s->device, nullptr});
  const Status status = on(s->device, "marking a place", [&] {
    const cudaError_t error = cudaEventCreateWithFlags(&made->event, cudaEventDisableTiming);
    return error == cudaSuccess ? cudaEventRecord(made->event, s->stream) : error;
  });
  if (status == Status::ok) *mark = made.release();
  return status;
}
Status wait_for(Mark* mark) {
  return on(mark->device, "waiting", [&] { return cudaEventSynchronize(mark->event); });
}
void forget_mark(Mark* mark) {
  on(mark->device, "forgetting a place", [&] { return cudaEventDestroy(mark->event); });
  delete mark;
}

Status begin_recording(Stream* s) {
  return on(s->device, "recording",
            [&] { return cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal); });
}
Status end_recording(Stream* s, Recording** recording) {
  auto made = std::make_unique<Recording>(Recording{s->device, nullptr});
  const Status status = on(s->device, "ending a recording", [&] {
    cudaGraph_t graph = nullptr;
    cudaError_t error = cudaStreamEndCapture(s->stream, &graph);
    if (error != cudaSuccess) return error;
    error = cudaGraphInstantiate(&made->exec, graph, 0);
    cudaGraphDestroy(graph);
    return error;
  });
  if (status == Status::ok) *recording = made.release();
  return status;
}
Status replay(Stream* s, Recording* recording) {
  return on(s->device, "replaying", [&] { return cudaGraphLaunch(recording->exec, s->stream); });
}
void forget(Recording* recording) {
  on(recording->device, "forgetting a recording", [&] { return cudaGraphExecDestroy(recording->exec); });
  delete recording;
}

}  // namespace
}  // namespace ptmz::cuda

extern "C" __attribute__((visibility("default"))) const ptmz::cuda::Api* ptmz_cuda_api() {
  using namespace ptmz::cuda;
  static const Api api{
      kApiVersion,    last_error,     driver,         device,      allocate,        release,       allocate_pinned,
      release_pinned, open,           close,          read,        write,           write_later,   copy,
      zero,           prepare_launch, whole_channels, beside,      launch,          launch_beside, step,
      wait,           mark,           wait_for,       forget_mark, begin_recording, end_recording, replay,
      forget};
  return &api;
}
