// What the kernels of this folder are written against: CUDA, or its emulation on the host.
#pragma once
#include "backend/cuda/task.h"
#include "backend/step_task.h"

#ifndef PTMZ_CUDA_ON_HOST
#include <cuda_runtime.h>
#define PTMZ_UNROLL _Pragma("unroll")
// The block's dynamic shared memory as an array of T.
#define PTMZ_DYNAMIC_SHARED(T, name)                        \
  extern __shared__ __align__(16) char ptmz_shared_bytes[]; \
  T* const name = reinterpret_cast<T*>(ptmz_shared_bytes)
#else
#include "backend/cuda/host/cuda_on_host.h"
#define PTMZ_UNROLL
#define PTMZ_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(cuda_on_host::dynamic_shared())
#endif

namespace ptmz::cuda {

// Every kernel takes one struct by value, so that a captured graph keeps it. The member is blockIdx.y.
#ifndef PTMZ_CUDA_ON_HOST
#define PTMZ_PARAMETER(Type, name) const __grid_constant__ Type name
template <typename Parameter>
using KernelOf = void (*)(const Parameter);
#else  // a copy per thread would be most of the time
#define PTMZ_PARAMETER(Type, name) const Type& name
template <typename Parameter>
using KernelOf = void (*)(const Parameter&);
#endif
#define PTMZ_TASK PTMZ_PARAMETER(Task, task)
#define PTMZ_STEP PTMZ_PARAMETER(StepTask, task)
using Kernel = KernelOf<Task>;
using StepKernel = KernelOf<StepTask>;

}  // namespace ptmz::cuda
