// NarrowTasks: convolutions of few channels (kernels/narrow.cu), several in one launch, as plain data that fits a
// kernel's parameters.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

inline constexpr int kNarrowThreads = 128, kMostNarrowTasks = 16;

// What a block computes: images from images, by a thread's outputs, or the gradient of weights, by the size of the
// kernel and a thread's outputs.
enum class NarrowBody : uint8_t {
  forward2,
  forward4,
  forward8,
  input2,
  input4,
  input8,
  weight1_2,
  weight1_4,
  weight3_2,
  weight3_4,
  count
};

// As a Task: what its launch has, and how its blocks share it.
struct NarrowOperand {
  char* base;
  int64_t member_bytes;
  int32_t strides[2];  // from image to image, and from channel to channel
};
struct NarrowTask {
  NarrowOperand operands[3];
  int32_t shape[7], ints[11];
  int32_t blocks;  // along x
  int32_t splits, split_size;
  NarrowBody body;
  char* partials;
  int64_t partials_member_bytes;
  uint32_t* tickets;
  int64_t member_tickets;
};
struct NarrowTasks {
  NarrowTask tasks[kMostNarrowTasks];
};
static_assert(sizeof(NarrowTasks) <= 4096, "kernel parameters are limited to 4 KB");

// kernels/narrow.cu: blocks of the first task, of the second, and so on. One of a single body has fewer registers.
KernelOf<NarrowTasks> narrow_kernel(NarrowBody body, DType real);
KernelOf<NarrowTasks> narrow_beside_kernel(DType real);

// Collects convolutions that have no order among themselves and puts them on a stream, as few launches as they fit
// into.
class NarrowPacker {
 public:
  explicit NarrowPacker(cudaStream_t stream) : stream_(stream) {}
  // One that fits_narrow().
  cudaError_t add(const DeviceLaunch& launch);
  cudaError_t flush();

 private:
  const cudaStream_t stream_;
  NarrowTasks pack_{};
  int count_ = 0;
  int64_t blocks_ = 0, shared_ = 0, members_ = 0;
  DType real_ = DType::f32;
};

}  // namespace ptmz::cuda
