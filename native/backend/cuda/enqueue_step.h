// EnqueueStep: from a StepTask to its kernel.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

// Puts the kernel of a task on a stream. Returns the error of its launch.
cudaError_t enqueue(const StepTask& task, cudaStream_t stream);

}  // namespace ptmz::cuda
