// Beside: launches without an order among themselves, as few kernels as they fit into.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

// Whether there is a kernel that runs launches such as this one side by side, other than small maps.
bool runs_beside(const Launch& launch, DType real);

cudaError_t enqueue_beside(const DeviceLaunch* launches, int64_t count, cudaStream_t stream);

}  // namespace ptmz::cuda
