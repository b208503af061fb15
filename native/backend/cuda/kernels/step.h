// What the kernels around a program share: their members, and rows of them.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

// The row of a member; element 0.
template <typename T>
__device__ inline T* row_of(const StepRows& rows, int64_t member) {
  return reinterpret_cast<T*>(static_cast<char*>(rows.data) + member * rows.row_bytes);
}

// Blocks share the members along y; there may be more of them than a grid is wide.
template <typename F>
__device__ inline void for_each_member(const StepTask& task, F f) {
  for (int64_t m = blockIdx.y; m < task.members; m += gridDim.y) f(m);
}
// Calls f(member, element) for each of task.count elements: one thread, one element.
template <typename F>
__device__ inline void for_each_element(const StepTask& task, F f) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < task.count) for_each_member(task, [&](int64_t m) { f(m, i); });
}

// The number of the sample at place i of the batch.
__device__ inline int64_t sample_at(const StepTask& task, int64_t m, int64_t i) {
  const int64_t at = task.place->first + i;
  return task.order == nullptr ? m * task.member_samples + at : task.order[m * task.sample_count + at];
}

// Not NaN, not infinite.
template <typename T>
__device__ inline bool is_number(T x) {
  return x - x == 0;
}

}  // namespace ptmz::cuda
