// Enqueue: from a launch to the kernels that compute it.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

// Sets what the launch needs for one member, from its shapes alone: scratch, a multiple of 64 bytes, and tickets.
void prepare(Launch& launch, DType real);

// Puts the kernels of a launch on a stream. Returns the first error of a launch.
cudaError_t enqueue(const DeviceLaunch& launch, cudaStream_t stream);

// For tests: takes the kernels with 64-bit indices also where 32 bits would do.
void use_wide_indices(bool always);

}  // namespace ptmz::cuda
