// Together: small maps of one launch, as plain data that fits a kernel's parameters.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

inline constexpr int kTogetherMaps = 35, kTogetherInstrs = 24, kTogetherInputs = 5, kTogetherRegisters = 12;

// Operands are dense; one without a base is its value.
struct SmallInput {
  const char* base;
  union {
    int64_t member_bytes;
    double value;
  };
};
struct SmallMap {
  char* out;
  int64_t member_bytes;
  SmallInput inputs[kTogetherInputs];
  int32_t count;
  uint8_t input_count, instr_begin, instr_count, result_register;
};
struct Together {
  int32_t count;
  Instr instrs[kTogetherInstrs];  // maps of the same instructions share them
  SmallMap maps[kTogetherMaps];
};
static_assert(sizeof(Together) <= 4096, "kernel parameters are limited to 4 KB");

#ifndef PTMZ_CUDA_ON_HOST
#define PTMZ_TOGETHER const __grid_constant__ Together task
using TogetherKernel = void (*)(const Together);
#else
#define PTMZ_TOGETHER const Together& task
using TogetherKernel = void (*)(const Together&);
#endif
TogetherKernel together_kernel(DType real);  // kernels/together.cu: a block for each map

// Puts maps that have no order among themselves on a stream, as few launches as they fit into.
cudaError_t enqueue_together(const DeviceLaunch* launches, int64_t count, cudaStream_t stream);

}  // namespace ptmz::cuda
