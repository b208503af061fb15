// CUDA on the host: just enough of the CUDA language and runtime for the kernels of this folder to be compiled by a C++
// compiler and run by one thread, block after block, so that their results and their memory accesses can be checked on
// a machine without a GPU. Threads are fibers that change places at __syncthreads(); see fibers.cpp.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>

// ---- the language

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern thread_local dim3 gridDim, blockDim, blockIdx, threadIdx;
void __syncthreads();

inline int atomicCAS(int* address, int compare, int value) {
  const int old = *address;
  if (old == compare) *address = value;
  return old;
}

inline int atomicAdd(int* address, int value) {
  const int old = *address;
  *address += value;
  return old;
}

// Counts up to `last`, then from 0 again.
inline unsigned atomicInc(unsigned* address, unsigned last) {
  const unsigned old = *address;
  *address = old >= last ? 0 : old + 1;
  return old;
}
inline void __threadfence() {}  // blocks run one after the other

namespace cuda_on_host {

// The block's dynamic shared memory: exactly the bytes that the launch asked for, filled with NaN before each block.
void* dynamic_shared();

// In which order the threads of a block, and the blocks of a grid, are run. Results must not depend on it.
enum class Order { ascending, descending, shuffled };
void set_order(Order order);

// Whether work of a stream is put off until something waits for it, as on a device that is busy: what is read too early
// is then found out.
void set_lazy(bool lazy);

// Whether kernels may be given addresses of the host: for tests that run a kernel by itself.
void allow_host_memory(bool allow);

// Bytes that cudaMalloc hands out in all, and how many it has handed out.
void set_memory(size_t bytes);
size_t memory_in_use();
// How often the host has waited for a stream.
int64_t waits();
// Makes the n-th call from now on that could fail on a device (allocation, launch, synchronisation) fail; 0: none.
void fail_after(int calls);
// Since the process began.
int64_t kernels_run();
int64_t products_run();            // by the stand-ins for cuBLAS and cuBLASLt
int64_t products_with_bias_run();  // of these, by the latter
// Whether the stand-in for cuBLASLt finds a way to compute a product, and whether it then does.
enum class LtFails { nowhere, finding, launching };
void set_lt_fails(LtFails where);

}  // namespace cuda_on_host

// ---- the runtime

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorIllegalAddress = 700,
  cudaErrorStreamCaptureUnsupported = 900
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
constexpr unsigned cudaStreamNonBlocking = 1, cudaHostAllocDefault = 0, cudaEventDisableTiming = 2;

struct CUstream_st;
struct CUgraph_st;
struct CUgraphExec_st;
using cudaStream_t = CUstream_st*;
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;
struct CUevent_st;
using cudaEvent_t = CUevent_st*;
struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  size_t totalGlobalMem;
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMalloc(void** pointer, size_t bytes);
cudaError_t cudaFree(void* pointer);
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* pointer);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

namespace cuda_on_host {
// Runs `thread` for every thread of the grid, or records it in the stream's graph.
cudaError_t launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, std::function<void()> thread);
// An error where what a kernel is given holds an address of the host: a word that is one of mapped memory other than
// the device's.
cudaError_t check_addresses(const void* argument, size_t bytes);
}  // namespace cuda_on_host

template <typename Argument>
cudaError_t cudaLaunchKernel(void (*kernel)(const Argument&), dim3 grid, dim3 block, void** arguments,
                             size_t shared_bytes, cudaStream_t stream) {
  const Argument argument = *static_cast<Argument*>(arguments[0]);
#if __has_builtin(__builtin_clear_padding)
  // Padding may hold anything. A copy: GCC 12 also clears the highest byte of some words, which addresses do not use.
  Argument without_padding = argument;
  __builtin_clear_padding(&without_padding);
  const cudaError_t error = cuda_on_host::check_addresses(&without_padding, sizeof without_padding);
  if (error != cudaSuccess) return error;
#endif
  return cuda_on_host::launch(grid, block, shared_bytes, stream, [kernel, argument] { kernel(argument); });
}
