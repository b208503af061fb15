// Splits: blocks that share an output leave partial results, and the last of them to come joins all, in their order. So
// the bits do not depend on which one that is, and a sum needs no second kernel.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

// The partial results of the block's member.
template <typename V, typename AnyTask>
__device__ inline V* partials_of(const AnyTask& task) {
  return reinterpret_cast<V*>(task.partials + blockIdx.y * task.partials_member_bytes);
}

// Whether this block is the last of the task's splits that left its part of `output`, a number below the cut's tickets;
// what the others wrote before can then be read. For all threads of a block at once.
template <typename AnyTask>
__device__ inline bool is_last_split(const AnyTask& task, int64_t output) {
  __shared__ bool last;  // within kSplitsBytes of cut.h
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    const unsigned before = static_cast<unsigned>(task.splits) - 1;
    // It begins at 0 again for the next launch.
    last = atomicInc(task.tickets + blockIdx.y * task.member_tickets + output, before) == before;
    __threadfence();
  }
  __syncthreads();
  return last;
}

// Partial sums `stride` apart, in their order. Eight loads are under way at a time.
template <typename T>
__device__ inline double sum_of_splits(const T* parts, int64_t stride, int splits) {
  constexpr int kAtATime = 8;
  double sum = 0;
  int split = 0;
  for (; split + kAtATime <= splits; split += kAtATime) {
    T values[kAtATime];
    PTMZ_UNROLL
    for (int i = 0; i < kAtATime; ++i) values[i] = parts[(split + i) * stride];
    PTMZ_UNROLL
    for (int i = 0; i < kAtATime; ++i) sum += static_cast<double>(values[i]);
  }
  for (; split < splits; ++split) sum += static_cast<double>(parts[split * stride]);
  return sum;
}

}  // namespace ptmz::cuda
