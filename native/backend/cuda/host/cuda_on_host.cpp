// The emulated device: memory, streams, events and recordings as the CUDA runtime has them, and grids run block by
// block.
#include "backend/cuda/host/cuda_on_host.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "backend/cuda/host/fibers.h"

thread_local dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace cuda_on_host {
namespace {

Order order = Order::ascending;
size_t memory = size_t{1} << 34, in_use = 0;
std::atomic<bool> lazy = false, host_memory_allowed = false;
std::atomic<int> calls_until_failure = 0;
std::atomic<int64_t> kernel_count = 0, wait_count = 0;
thread_local void* shared_memory = nullptr;
thread_local cudaError_t last_error = cudaSuccess;
std::map<const void*, size_t> allocations;
// Memory of the device is shut while no kernel or copy is at work: a host that touches it ends with a signal. With
// AddressSanitizer, which knows the bounds of what malloc gives, it lies there instead.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kShut = false;
#else
constexpr bool kShut = true;
#endif
std::mutex device_mutex;  // one grid at a time, and what is counted

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}
bool fails_now() { return calls_until_failure > 0 && --calls_until_failure == 0; }

bool is_mapped(uintptr_t address) {
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char resident;
  return mincore(reinterpret_cast<void*>(address / page * page), 1, &resident) == 0;
}
// Right behind an allocation, too, where an operand without elements may lie.
bool is_of_device(const void* address) {
  const std::lock_guard lock(device_mutex);
  const auto after = allocations.upper_bound(address);
  if (after == allocations.begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  return static_cast<const char*>(address) <= static_cast<const char*>(start) + bytes;
}

}  // namespace

cudaError_t check_addresses(const void* argument, size_t bytes) {
  if (host_memory_allowed) return cudaSuccess;
  for (size_t at = 0; at + sizeof(uintptr_t) <= bytes; at += sizeof(uintptr_t)) {
    uintptr_t word;
    std::memcpy(&word, static_cast<const char*>(argument) + at, sizeof word);
    // Programs, heaps and stacks lie in [2^45, 2^47); below, two small numbers side by side may be an address of
    // AddressSanitizer's.
    const bool plausible = word >> 45 != 0 && word >> 47 == 0;
    if (!plausible || is_of_device(reinterpret_cast<void*>(word)) || !is_mapped(word)) continue;
    std::fprintf(stderr, "a kernel was to be given an address of the host, at byte %zu of %zu\n", at, bytes);
    return result(cudaErrorIllegalAddress);
  }
  return cudaSuccess;
}

namespace {

std::vector<unsigned> ordered(unsigned count) {
  std::vector<unsigned> indices(count);
  for (unsigned i = 0; i < count; ++i) indices[i] = i;
  if (order == Order::descending) std::reverse(indices.begin(), indices.end());
  if (order == Order::shuffled) {
    std::mt19937 generator(count);
    std::shuffle(indices.begin(), indices.end(), generator);
  }
  return indices;
}

struct Recorded {
  dim3 grid, block;
  size_t shared_bytes;
  std::function<void()> thread;
};

size_t whole_pages(size_t bytes) {
  static const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// The device at work, one grid or copy at a time.
class AtWork {
 public:
  AtWork() { protect(PROT_READ | PROT_WRITE); }
  ~AtWork() { protect(PROT_NONE); }

 private:
  static void protect(int how) {
    if (!kShut) return;
    for (const auto& [start, bytes] : allocations) mprotect(const_cast<void*>(start), whole_pages(bytes), how);
  }
  const std::lock_guard<std::mutex> lock_{device_mutex};
};

void run_grid(const Recorded& kernel) {
  const AtWork work;
  ++kernel_count;
  gridDim = kernel.grid;
  blockDim = kernel.block;
  const std::vector<unsigned> threads = ordered(kernel.block.x * kernel.block.y * kernel.block.z);
  for (unsigned z : ordered(kernel.grid.z))
    for (unsigned y = 0; y < kernel.grid.y; ++y)
      for (unsigned x : ordered(kernel.grid.x)) {
        blockIdx = {x, y, z};
        // An allocation of its own, so that AddressSanitizer sees an access beyond it.
        const std::unique_ptr<char[]> shared(new char[kernel.shared_bytes]);
        std::memset(shared.get(), 0xff, kernel.shared_bytes);
        shared_memory = shared.get();
        run_block(threads, kernel.thread);
      }
}

}  // namespace

void* dynamic_shared() { return shared_memory; }
void set_order(Order value) { order = value; }
void set_lazy(bool value) { lazy = value; }
void allow_host_memory(bool allow) { host_memory_allowed = allow; }
void set_memory(size_t bytes) { memory = bytes; }
size_t memory_in_use() { return in_use; }
void fail_after(int calls) { calls_until_failure = calls; }
int64_t kernels_run() { return kernel_count; }
int64_t waits() { return wait_count; }

}  // namespace cuda_on_host

using namespace cuda_on_host;

struct CUgraph_st {
  std::vector<std::function<void()>> steps;
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> steps;
};
struct CUstream_st {
  CUgraph_st* captured = nullptr;
  cudaError_t now_or_later(std::function<void()> step) {
    const std::lock_guard lock(mutex_);
    if (captured != nullptr) {
      captured->steps.push_back(std::move(step));
    } else if (lazy) {
      waiting_.push_back(std::move(step));
    } else {
      step();
    }
    return cudaSuccess;
  }
  // How much it was given so far.
  size_t given() const {
    const std::lock_guard lock(mutex_);
    return done_ + waiting_.size();
  }
  void run_until(size_t place) {
    const std::lock_guard lock(mutex_);
    for (; done_ < place && !waiting_.empty(); ++done_, waiting_.pop_front()) waiting_.front()();
  }
  void run_all() { run_until(given()); }

 private:
  mutable std::mutex mutex_;
  std::deque<std::function<void()>> waiting_;
  size_t done_ = 0;
};
// It holds no stream: one that is gone has done its work.
struct CUevent_st {
  cudaStream_t stream = nullptr;
  size_t place = 0;
};

namespace {

std::set<cudaStream_t> streams;
std::mutex streams_mutex;

// As memory is released.
void run_all_streams() {
  const std::lock_guard lock(streams_mutex);
  for (const cudaStream_t stream : streams) stream->run_all();
}

}  // namespace

cudaError_t cuda_on_host::launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                                 std::function<void()> thread) {
  // The limits of every device this library is built for.
  const size_t threads = size_t{block.x} * block.y * block.z;
  const bool fits = grid.x > 0 && grid.x <= 0x7fffffffu && grid.y > 0 && grid.y <= 65535 && grid.z > 0 &&
                    grid.z <= 65535 && threads > 0 && threads <= 1024 && shared_bytes <= 48 * 1024;
  if (!fits) return result(cudaErrorInvalidValue);
  if (fails_now()) return result(cudaErrorIllegalAddress);
  Recorded kernel{grid, block, shared_bytes, std::move(thread)};
  return stream->now_or_later([kernel = std::move(kernel)] { run_grid(kernel); });
}

void __syncthreads() { wait_for_block(); }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    default:
      return "cudaErrorInvalidValue";
  }
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaDriverGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return result(cudaErrorInvalidDevice);
  std::snprintf(properties->name, sizeof properties->name, "emulated on the host");
  properties->major = 8;
  properties->minor = 0;
  properties->multiProcessorCount = 1;
  properties->totalGlobalMem = memory;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = memory;
  *free = memory > in_use ? memory - in_use : 0;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  const std::lock_guard lock(device_mutex);
  if (fails_now() || bytes > memory || in_use > memory - bytes) return result(cudaErrorMemoryAllocation);
  if (kShut) {
    *pointer = mmap(nullptr, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*pointer == MAP_FAILED) return result(cudaErrorMemoryAllocation);
  } else {
    *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  }
  std::memset(*pointer, 0xff, bytes);
  if (kShut) mprotect(*pointer, whole_pages(bytes), PROT_NONE);
  allocations[*pointer] = bytes;
  in_use += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  run_all_streams();
  const std::lock_guard lock(device_mutex);
  const auto found = allocations.find(pointer);
  if (found == allocations.end()) return result(cudaErrorInvalidValue);
  const size_t bytes = found->second;
  in_use -= bytes;
  allocations.erase(found);
  kShut ? static_cast<void>(munmap(pointer, whole_pages(bytes))) : std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  if (fails_now()) return result(cudaErrorMemoryAllocation);
  *pointer = std::malloc(bytes);
  std::memset(*pointer, 0xff, bytes);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* pointer) {
  run_all_streams();
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (is_of_device(to) != (kind != cudaMemcpyDeviceToHost) || is_of_device(from) != (kind != cudaMemcpyHostToDevice))
    return result(cudaErrorInvalidValue);
  return stream->now_or_later([=] {
    const AtWork work;
    std::memcpy(to, from, bytes);
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (!is_of_device(to)) return result(cudaErrorInvalidValue);
  return stream->now_or_later([=] {
    const AtWork work;
    std::memset(to, value, bytes);
  });
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard lock(streams_mutex);
  streams.insert(*stream = new CUstream_st);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  stream->run_all();
  const std::lock_guard lock(streams_mutex);
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream->captured != nullptr) return result(cudaErrorStreamCaptureUnsupported);
  ++wait_count;
  stream->run_all();
  return result(fails_now() ? cudaErrorIllegalAddress : cudaSuccess);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *event = {stream, stream->given()};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  {
    const std::lock_guard lock(streams_mutex);
    if (streams.count(event->stream) > 0) event->stream->run_until(event->place);
  }
  return result(fails_now() ? cudaErrorIllegalAddress : cudaSuccess);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->captured = new CUgraph_st;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->captured, nullptr);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new CUgraphExec_st{graph->steps};
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  for (const auto& step : exec->steps) stream->now_or_later(step);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
