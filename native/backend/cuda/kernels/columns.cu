// Columns: images as the matrices of columns.h, and back. `columns` (C * KH * KW, N * OH * OW), or where the channels
// of a pixel lie side by side (N * OH * OW, groups * KH * KW * C / groups).
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
  const Images images(task, 1);
  const T* x = base_of<const T>(task, 1) + image * images.image + channel * images.channel;
  T* to = base_of<T>(task, 0) + static_cast<int64_t>(channel) * s.taps * count + column;
  for (int32_t i = 0; i < s.kh; ++i)
    for (int32_t j = 0; j < s.kw; ++j, to += count) {
      const int32_t row = top + i * s.dilation_h, at = left + j * s.dilation_w;
      const bool inside = row >= 0 && row < s.h && at >= 0 && at < s.w;
      *to = inside ? x[row * s.w + at] : T(0);
    }
}

// The same for channels that lie side by side: a thread writes one of them.
template <typename T>
__global__ void gather_columns_last(PTMZ_TASK) {
  const Sizes s(task);
  const auto width = static_cast<uint32_t>(s.c * s.taps), plane = static_cast<uint32_t>(s.oh * s.ow);
  const uint32_t index = blockIdx.x * blockDim.x + threadIdx.x, column = index / width;
  if (column >= static_cast<uint32_t>(s.n) * plane) return;
  const auto at = static_cast<int32_t>(index % width), group = at / (s.group_c * s.taps);
  const ChannelTap place(at % (s.group_c * s.taps), s.group_c, s.taps, true);
  const auto image = static_cast<int32_t>(column / plane), pixel = static_cast<int32_t>(column % plane);
  const int32_t row = pixel / s.ow * s.stride_h - s.pad_h + place.tap / s.kw * s.dilation_h,
                left = pixel % s.ow * s.stride_w - s.pad_w + place.tap % s.kw * s.dilation_w;
  const bool inside = row >= 0 && row < s.h && left >= 0 && left < s.w;
  const Images images(task, 1);
  const T* x = base_of<const T>(task, 1) + image * images.image + group * s.group_c + place.channel;
  base_of<T>(task, 0)[index] = inside ? x[(static_cast<int64_t>(row) * s.w + left) * images.pixel] : T(0);
}

// x[n, c, h, w] = the sum of all places in columns that show it, in the order of the taps. `place_of`: of the column of
// an output's pixel and a tap.
template <typename T, typename F>
__device__ T sum_of_taps(const Sizes& s, int32_t pixel, F place_of) {
  const int32_t bottom = pixel / s.w + s.pad_h, right = pixel % s.w + s.pad_w;
  T sum = 0;
  for (int32_t i = 0; i < s.kh; ++i)
    for (int32_t j = 0; j < s.kw; ++j) {
      const int32_t above = bottom - i * s.dilation_h, before = right - j * s.dilation_w;
      const int32_t row = above / s.stride_h, column = before / s.stride_w;
      if (above < 0 || before < 0 || row >= s.oh || column >= s.ow) continue;
      if (row * s.stride_h == above && column * s.stride_w == before)
        sum += *place_of(row * s.ow + column, i * s.kw + j);
    }
  return sum;
}

template <typename T>
__global__ void add_columns(PTMZ_TASK) {
  const Sizes s(task);
  const int32_t plane = s.oh * s.ow, count = s.n * plane;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= static_cast<int64_t>(s.n) * s.c * s.h * s.w) return;
  const int32_t pixel = static_cast<int32_t>(index % (s.h * s.w)), rest = static_cast<int32_t>(index / (s.h * s.w));
  const int32_t image = rest % s.n, channel = rest / s.n;
  const T* from = base_of<const T>(task, 1) + static_cast<int64_t>(channel) * s.taps * count + image * plane;
  const Images images(task, 0);
  base_of<T>(task, 0)[image * images.image + channel * images.channel + pixel] =
      sum_of_taps<T>(s, pixel, [&](int32_t at, int32_t tap) { return from + static_cast<int64_t>(tap) * count + at; });
}

template <typename T>
__global__ void add_columns_last(PTMZ_TASK) {
  const Sizes s(task);
  const int32_t plane = s.oh * s.ow;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, width = int64_t{s.c} * s.taps;
  if (index >= static_cast<int64_t>(s.n) * s.c * s.h * s.w) return;
  const int32_t channel = static_cast<int32_t>(index % s.c), rest = static_cast<int32_t>(index / s.c);
  const int32_t pixel = rest % (s.h * s.w), image = rest / (s.h * s.w), group = channel / s.group_c;
  const T* from = base_of<const T>(task, 1) + static_cast<int64_t>(image) * plane * width + group * s.group_c * s.taps +
                  channel % s.group_c;
  const Images images(task, 0);
  base_of<T>(task, 0)[image * images.image + pixel * images.pixel + channel] =
      sum_of_taps<T>(s, pixel, [&](int32_t at, int32_t tap) { return from + at * width + tap * s.group_c; });
}

template <typename T>
Kernel kernel_of(ColumnsMove what, bool channels_last) {
  if (what == ColumnsMove::gather) return channels_last ? gather_columns_last<T> : gather_columns<T>;
  return channels_last ? add_columns_last<T> : add_columns<T>;
}

}  // namespace

Kernel columns_kernel(ColumnsMove what, DType real, bool channels_last) {
  return real == DType::f32 ? kernel_of<float>(what, channels_last) : kernel_of<double>(what, channels_last);
}

}  // namespace ptmz::cuda
