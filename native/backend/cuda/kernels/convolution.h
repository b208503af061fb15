// The sizes of a convolution as its kernels read them.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

// x (N,C,H,W), w (O,C/groups,KH,KW), y (N,O,OH,OW); shape: N, C, H, W, O, OH, OW; ints: ConvAttrs.
struct Sizes {
  int32_t n, c, h, w, o, oh, ow, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, kh, kw;
  int32_t group_c, group_o, taps;

  template <typename AnyTask>
  __device__ explicit Sizes(const AnyTask& task) {
    const auto size = [&](int d) { return static_cast<int32_t>(task.shape[d]); };
    const auto attr = [&](int i) { return static_cast<int32_t>(task.ints[i]); };
    n = size(0), c = size(1), h = size(2), w = size(3), o = size(4), oh = size(5), ow = size(6);
    stride_h = attr(0), stride_w = attr(1), pad_h = attr(2), pad_w = attr(3), dilation_h = attr(4);
    dilation_w = attr(5), groups = attr(6), kh = attr(9), kw = attr(10);
    group_c = c / groups, group_o = o / groups, taps = kh * kw;
  }
};

// Whether the channels of a pixel lie side by side, of x (kInputsLast) or of y (kOutputsLast). It is written in the
// launch, since one channel or one tap lies both ways.
template <typename LaunchOrTask>
__host__ __device__ inline bool channels_last(const LaunchOrTask& l, int64_t which) {
  return (l.ints[kChannelsLastInt] & which) != 0;
}

// How far apart the images of an operand lie in memory, and the channels of one.
template <typename I = int64_t>
struct Planes {
  I image, channel;

  template <typename AnyTask>
  __device__ Planes(const AnyTask& task, int operand)
      : image(static_cast<I>(task.operands[operand].strides[0])),
        channel(static_cast<I>(task.operands[operand].strides[1])) {}
};
// And the pixels of a channel, which follow each other row by row.
struct Images : Planes<> {
  int64_t pixel;

  __device__ Images(const Task& task, int operand) : Planes(task, operand), pixel(task.operands[operand].strides[3]) {}
};

// The same of weights, which lie as x does; the taps of a kernel follow each other row by row.
struct Kernels {
  int64_t output, input, tap;
  bool channels_last;

  __device__ Kernels(const Task& task, int operand)
      : output(task.operands[operand].strides[0]),
        input(task.operands[operand].strides[1]),
        tap(task.operands[operand].strides[3]),
        channels_last(cuda::channels_last(task, kInputsLast)) {}
};

// A position among the channels and the taps of a kernel, counted as they lie.
struct ChannelTap {
  int32_t channel, tap;
  __device__ ChannelTap(int32_t index, int32_t channels, int32_t taps, bool channels_last)
      : channel(channels_last ? index % channels : index / taps),
        tap(channels_last ? index / channels : index % taps) {}
};

}  // namespace ptmz::cuda
