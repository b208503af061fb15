// Indexing kernels: gather along one axis, its adjoint scatter_add, and the positions of max-pool maxima.
#include <cmath>

#include "backend/cuda/kernels/index.h"
#include "backend/cuda/kernels/table.h"
#include "ir/graph.h"

namespace ptmz::cuda {
namespace {

// ints: axis, has_ignore, ignore, size of the axis. The position on the axis, -1 where it does not count.
__device__ int64_t position_of(const Task& task, int64_t index) {
  if (task.ints[1] != 0 && index == task.ints[2]) return -1;
  if (index >= 0 && index < task.ints[3]) return index;
  report_fault(task, index, task.ints[3]);
  return -1;
}

// out[p] = x[p with index[p] on the axis]. Operands: out (dense), x, index.
template <typename T>
__global__ void gather(PTMZ_TASK) {
  const int64_t element = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (element >= task.count) return;
  int64_t x = 0, at = 0, left = element;
  const int axis = static_cast<int>(task.ints[0]);
  for (int d = task.rank - 1; d >= 0; --d) {
    const int64_t coordinate = left % task.shape[d];
    left /= task.shape[d];
    if (d != axis) x += coordinate * task.operands[1].strides[d];
    at += coordinate * task.operands[2].strides[d];
  }
  const int64_t position = position_of(task, base_of<const int32_t>(task, 2)[at]);
  base_of<T>(task, 0)[element] =
      position < 0 ? T(0) : base_of<const T>(task, 1)[x + position * task.operands[1].strides[axis]];
}

// out[p with index[p] on the axis] += g[p]. One thread owns a place off the axis and adds in ascending order along it,
// so no two threads touch one element and the order is fixed. Operands: out (zeros), g, index.
template <typename T>
__global__ void scatter_add(PTMZ_TASK) {
  const int axis = static_cast<int>(task.ints[0]);
  const int64_t size = task.shape[axis], places = task.count / size;
  int64_t left = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (left >= places) return;
  int64_t out = 0, g = 0, index = 0;
  for (int d = task.rank - 1; d >= 0; --d) {
    if (d == axis) continue;
    const int64_t coordinate = left % task.shape[d];
    left /= task.shape[d];
    out += coordinate * task.operands[0].strides[d];
    g += coordinate * task.operands[1].strides[d];
    index += coordinate * task.operands[2].strides[d];
  }
  for (int64_t i = 0; i < size; ++i) {
    const int64_t at = base_of<const int32_t>(task, 2)[index + i * task.operands[2].strides[axis]];
    const int64_t position = position_of(task, at);
    if (position < 0) continue;
    base_of<T>(task, 0)[out + position * task.operands[0].strides[axis]] +=
        base_of<const T>(task, 1)[g + i * task.operands[1].strides[axis]];
  }
}

// x (N,C,H,W) strided -> positions (N,C,OH,OW); shape: N, C, H, W, OH, OW; ints: PoolAttrs.
template <typename T>
__global__ void pool_argmax(PTMZ_TASK) {
  const int64_t channels = task.shape[1], h = task.shape[2], w = task.shape[3], oh = task.shape[4], ow = task.shape[5];
  const int64_t output = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (output >= task.shape[0] * channels * oh * ow) return;
  const int64_t plane = output / (oh * ow), row = output / ow % oh, column = output % ow;
  const int64_t* strides = task.operands[1].strides;
  const T* x = base_of<const T>(task, 1) + plane / channels * strides[0] + plane % channels * strides[1];
  const PoolAttrs pool{task.ints[0], task.ints[1], task.ints[2], task.ints[3], task.ints[4], task.ints[5]};
  const int64_t top = row * pool.stride_h - pool.pad_h, left = column * pool.stride_w - pool.pad_w;
  T best = -static_cast<T>(HUGE_VAL);
  int64_t position = (top > 0 ? top : 0) * w + (left > 0 ? left : 0);
  for (int64_t i = top > 0 ? top : 0; i < h && i < top + pool.kh; ++i)
    for (int64_t j = left > 0 ? left : 0; j < w && j < left + pool.kw; ++j) {
      const T value = x[i * strides[2] + j * strides[3]];
      if (!(value > best || (value != value && best == best))) continue;
      best = value;
      position = i * w + j;
    }
  base_of<int32_t>(task, 0)[output] = static_cast<int32_t>(position);
}

}  // namespace

Kernel gather_kernel(DType real) { return real == DType::f32 ? gather<float> : gather<double>; }
Kernel scatter_add_kernel(DType real) { return real == DType::f32 ? scatter_add<float> : scatter_add<double>; }
Kernel pool_argmax_kernel(DType real) { return real == DType::f32 ? pool_argmax<float> : pool_argmax<double>; }

}  // namespace ptmz::cuda
