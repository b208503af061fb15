// Columns: images as the matrices of columns.h, and back. `columns` (C * KH * KW, N * OH * OW).
#include "backend/cuda/kernels/convolution.h"
#include "backend/cuda/kernels/index.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {
namespace {

// columns[(c,i,j), (n,oh,ow)] = x[n, c, oh stride - pad + i dilation, ...]. A block is some columns of one channel: its
// threads write neighbours, and read their taps from lines that are in the cache after the first.
template <typename T>
__global__ void gather_columns(PTMZ_TASK) {
  const Sizes s(task);
  const int32_t plane = s.oh * s.ow, count = s.n * plane;
  const unsigned across = (static_cast<unsigned>(count) + blockDim.x - 1) / blockDim.x;
  const int32_t channel = static_cast<int32_t>(blockIdx.x / across);
  const int32_t column = static_cast<int32_t>(blockIdx.x % across * blockDim.x + threadIdx.x);
  if (column >= count) return;
  const int32_t image = column / plane, pixel = column % plane;
  const int32_t top = pixel / s.ow * s.stride_h - s.pad_h, left = pixel % s.ow * s.stride_w - s.pad_w;
  const Planes<> planes(task, 1);
  const T* x = base_of<const T>(task, 1) + image * planes.image + channel * planes.channel;
  T* to = base_of<T>(task, 0) + static_cast<int64_t>(channel) * s.taps * count + column;
  for (int32_t i = 0; i < s.kh; ++i)
    for (int32_t j = 0; j < s.kw; ++j, to += count) {
      const int32_t row = top + i * s.dilation_h, at = left + j * s.dilation_w;
      const bool inside = row >= 0 && row < s.h && at >= 0 && at < s.w;
      *to = inside ? x[row * s.w + at] : T(0);
    }
}

// x[n, c, h, w] = the sum of all places in columns that show it, in the order of the taps.
template <typename T>
__global__ void add_columns(PTMZ_TASK) {
  const Sizes s(task);
  const int32_t plane = s.oh * s.ow, count = s.n * plane;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= static_cast<int64_t>(s.n) * s.c * s.h * s.w) return;
  const int32_t pixel = static_cast<int32_t>(index % (s.h * s.w)), rest = static_cast<int32_t>(index / (s.h * s.w));
  const int32_t image = rest % s.n, channel = rest / s.n;
  const int32_t bottom = pixel / s.w + s.pad_h, right = pixel % s.w + s.pad_w;
  const T* from = base_of<const T>(task, 1) + static_cast<int64_t>(channel) * s.taps * count + image * plane;
  T sum = 0;
  for (int32_t i = 0; i < s.kh; ++i)
    for (int32_t j = 0; j < s.kw; ++j, from += count) {
      const int32_t above = bottom - i * s.dilation_h, before = right - j * s.dilation_w;
      const int32_t row = above / s.stride_h, column = before / s.stride_w;
      if (above < 0 || before < 0 || row >= s.oh || column >= s.ow) continue;
      if (row * s.stride_h == above && column * s.stride_w == before) sum += from[row * s.ow + column];
    }
  const Planes<> planes(task, 0);
  base_of<T>(task, 0)[image * planes.image + channel * planes.channel + pixel] = sum;
}

template <typename T>
Kernel kernel_of(ColumnsMove what) {
  return what == ColumnsMove::gather ? gather_columns<T> : add_columns<T>;
}

}  // namespace

Kernel columns_kernel(ColumnsMove what, DType real) {
  return real == DType::f32 ? kernel_of<float>(what) : kernel_of<double>(what);
}

}  // namespace ptmz::cuda
