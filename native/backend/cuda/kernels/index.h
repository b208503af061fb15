// Index arithmetic of the kernels: which element a thread works on and where an operand keeps it.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

// Element 0 of an operand, of the block's member.
template <typename T, typename AnyTask>
__device__ inline T* base_of(const AnyTask& task, int operand) {
  const auto& o = task.operands[operand];
  return reinterpret_cast<T*>(o.base + blockIdx.y * o.member_bytes);
}

// The coordinates of one element of a task's iteration space. I is uint32_t where all counts fit: a 64-bit division
// costs a GPU several times as much.
template <typename I>
struct Coordinates {
  I at[kLaunchRank] = {};

  // Sets the axes [begin, end) to those of element `index` of them, row-major.
  __device__ void locate(const Task& task, I index, int begin, int end) {
    PTMZ_UNROLL
    for (int d = kLaunchRank - 1; d > 0; --d) {
      if (d <= begin || d >= end) continue;
      const I size = static_cast<I>(task.shape[d]), left = index / size;
      at[d] = index - left * size;
      index = left;
    }
    if (begin < end) set(begin, index);
  }
  __device__ int64_t offset(const Task& task, const TaskOperand& operand) const {
    int64_t offset = 0;
    PTMZ_UNROLL
    for (int d = 0; d < kLaunchRank; ++d)
      if (d < task.rank) offset += static_cast<int64_t>(at[d]) * operand.strides[d];
    return offset;
  }

 private:
  // at[d] = value with an index that is known when compiled, so that coordinates stay in registers.
  __device__ void set(int axis, I value) {
    PTMZ_UNROLL
    for (int d = 0; d < kLaunchRank; ++d)
      if (d == axis) at[d] = value;
  }
};

// The n-th real of a per-channel operand, or its immediate value.
template <typename T>
__device__ inline T value_at(const Task& task, int operand, int64_t offset) {
  const TaskOperand& o = task.operands[operand];
  return o.base == nullptr ? static_cast<T>(o.value) : base_of<const T>(task, operand)[offset];
}

// An index outside of [0, limit): the first one found is reported, whichever thread that was.
__device__ inline void report_fault(const Task& task, int64_t value, int64_t limit) {
  if (atomicCAS(&task.fault->launch, 0, task.launch + 1) != 0) return;
  task.fault->member = static_cast<int32_t>(blockIdx.y);
  task.fault->value = value;
  task.fault->limit = limit;
}

}  // namespace ptmz::cuda
