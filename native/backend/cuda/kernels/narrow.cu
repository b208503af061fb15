// NarrowTasks: convolutions of few channels. A thread computes several outputs of one pixel, so that what it reads of
// the images serves all of them; the tiles of contractions.cu would be mostly empty.
#include <type_traits>
#include <utility>

#include "backend/cuda/kernels/convolution.h"
#include "backend/cuda/kernels/index.h"
#include "backend/cuda/kernels/splits.h"
#include "backend/cuda/narrow.h"

namespace ptmz::cuda {
namespace {

// ---- images: y[n, o] = sum over (kh, kw, c) of w[o, c, kh, kw] x[n, c, ...], and the same for x from y

// Where the images that are read lie, and those that are written (fits_narrow: within 2^30 elements); `source` is that
// of a pixel and a tap, below 0 outside.
struct ConvForward {
  const Sizes s;
  const Planes<int32_t> from, to;
  int32_t inputs, outputs, plane, width;

  __device__ explicit ConvForward(const NarrowTask& task) : s(task), from(task, 1), to(task, 0) {
    inputs = s.group_c, outputs = s.group_o, plane = s.oh * s.ow, width = s.ow;
  }
  __device__ int64_t weight(int32_t output, int32_t input) const { return output * s.group_c + input; }
  __device__ int32_t source(int32_t row, int32_t column, int32_t i, int32_t j) const {
    const int32_t r = row * s.stride_h - s.pad_h + i * s.dilation_h,
                  c = column * s.stride_w - s.pad_w + j * s.dilation_w;
    return r < 0 || r >= s.h || c < 0 || c >= s.w ? -1 : r * s.w + c;
  }
};
struct ConvInput {
  const Sizes s;
  const Planes<int32_t> from, to;
  int32_t inputs, outputs, plane, width;

  __device__ explicit ConvInput(const NarrowTask& task) : s(task), from(task, 2), to(task, 0) {
    inputs = s.group_o, outputs = s.group_c, plane = s.h * s.w, width = s.w;
  }
  __device__ int64_t weight(int32_t output, int32_t input) const { return input * s.group_c + output; }
  __device__ int32_t source(int32_t row, int32_t column, int32_t i, int32_t j) const {
    const int32_t above = row + s.pad_h - i * s.dilation_h, before = column + s.pad_w - j * s.dilation_w;
    const int32_t r = above / s.stride_h, c = before / s.stride_w;
    const bool inside = above >= 0 && before >= 0 && r < s.oh && c < s.ow;
    return inside && r * s.stride_h == above && c * s.stride_w == before ? r * s.ow + c : -1;
  }
};

// Operands: images, and the two that they are made of: one of images, one of weights. Shared memory: the weights of the
// block's outputs as (kh, kw, input, output), zero where there are fewer outputs. Block: group, outputs, pixels.
template <typename T, typename Problem, int OUTPUTS>
__device__ void narrow_images(const NarrowTask& task, unsigned block) {
  constexpr bool kForward = std::is_same_v<Problem, ConvForward>;
  PTMZ_DYNAMIC_SHARED(T, weights);
  const Problem p(task);
  const int32_t count = p.s.n * p.plane;
  const unsigned across = (static_cast<unsigned>(count) + kNarrowThreads - 1) / kNarrowThreads;
  const unsigned down = static_cast<unsigned>(p.outputs + OUTPUTS - 1) / OUTPUTS;
  const int32_t first = static_cast<int32_t>(block / across % down) * OUTPUTS;
  const auto group = static_cast<int64_t>(block / across / down);
  const T* w = base_of<const T>(task, kForward ? 2 : 1) + group * p.inputs * p.outputs * p.s.taps;
  const T* from = base_of<const T>(task, kForward ? 1 : 2) + group * p.inputs * p.from.channel;
  T* to = base_of<T>(task, 0) + (group * p.outputs + first) * p.to.channel;

  const int32_t depth = p.s.taps * p.inputs;
  for (int32_t e = static_cast<int32_t>(threadIdx.x); e < depth * OUTPUTS; e += kNarrowThreads) {
    const int32_t output = first + e % OUTPUTS, input = e / OUTPUTS % p.inputs, tap = e / OUTPUTS / p.inputs;
    weights[e] = output < p.outputs ? w[p.weight(output, input) * p.s.taps + tap] : T(0);
  }
  __syncthreads();
  const int32_t index = static_cast<int32_t>(block % across * kNarrowThreads + threadIdx.x);
  if (index >= count) return;
  const int32_t image = index / p.plane, pixel = index % p.plane, row = pixel / p.width, column = pixel % p.width;
  from += image * p.from.image;
  T sum[OUTPUTS] = {};
  const T* factors = weights;
  for (int32_t i = 0; i < p.s.kh; ++i)
    for (int32_t j = 0; j < p.s.kw; ++j, factors += p.inputs * OUTPUTS) {
      const int32_t at = p.source(row, column, i, j);
      if (at < 0) continue;
      for (int32_t input = 0; input < p.inputs; ++input) {
        const T value = from[input * p.from.channel + at];
        PTMZ_UNROLL
        for (int o = 0; o < OUTPUTS; ++o) sum[o] += factors[input * OUTPUTS + o] * value;
      }
    }
  to += image * p.to.image + pixel;
  PTMZ_UNROLL
  for (int o = 0; o < OUTPUTS; ++o)
    if (first + o < p.outputs) to[o * p.to.channel] = sum[o];
}

// ---- weights: w[o, c, kh, kw] = sum over (n, oh, ow) of y[n, o, oh, ow] x[n, c, ...]

// A thread adds up all taps of one input and OUTPUTS outputs over its pixels, kNarrowThreads apart; the block adds its
// threads in halves. Block: group, input, outputs, split of the pixels.
template <typename T, int KERNEL, int OUTPUTS>
__device__ void narrow_weight(const NarrowTask& task, unsigned block) {
  constexpr int kTaps = KERNEL * KERNEL, kSums = kTaps * OUTPUTS;
  PTMZ_DYNAMIC_SHARED(T, cells);  // (sums, threads)
  const Sizes s(task);
  const Planes<int32_t> of_x(task, 1), of_y(task, 2);
  const int thread = static_cast<int>(threadIdx.x);
  const int32_t plane = s.oh * s.ow;
  const unsigned down = static_cast<unsigned>(s.group_o + OUTPUTS - 1) / OUTPUTS;
  const int split = static_cast<int>(block % static_cast<unsigned>(task.splits));
  block /= static_cast<unsigned>(task.splits);
  const unsigned output = block;  // that splits share
  const int32_t first = static_cast<int32_t>(block % down) * OUTPUTS;
  block /= down;
  const int32_t input = static_cast<int32_t>(block % static_cast<unsigned>(s.group_c));
  const auto group = static_cast<int64_t>(block / static_cast<unsigned>(s.group_c));
  const T* x = base_of<const T>(task, 1) + (group * s.group_c + input) * of_x.channel;
  const T* y = base_of<const T>(task, 2) + (group * s.group_o + first) * of_y.channel;
  const int32_t begin = split * task.split_size, left = s.n * plane - begin;
  const int32_t end = begin + (left < task.split_size ? left : task.split_size);

  T sum[OUTPUTS][kTaps] = {};
  for (int32_t index = begin + thread; index < end; index += kNarrowThreads) {
    const int32_t image = index / plane, pixel = index % plane;
    const int32_t top = pixel / s.ow * s.stride_h - s.pad_h, before = pixel % s.ow * s.stride_w - s.pad_w;
    const T* from = x + image * of_x.image;
    const T* gradient = y + image * of_y.image + pixel;
    T values[kTaps], slopes[OUTPUTS];
    PTMZ_UNROLL
    for (int o = 0; o < OUTPUTS; ++o) slopes[o] = first + o < s.group_o ? gradient[o * of_y.channel] : T(0);
    PTMZ_UNROLL
    for (int t = 0; t < kTaps; ++t) {
      const int32_t row = top + t / KERNEL * s.dilation_h, column = before + t % KERNEL * s.dilation_w;
      const bool inside = row >= 0 && row < s.h && column >= 0 && column < s.w;
      values[t] = inside ? from[row * s.w + column] : T(0);
    }
    PTMZ_UNROLL
    for (int o = 0; o < OUTPUTS; ++o) {
      PTMZ_UNROLL
      for (int t = 0; t < kTaps; ++t) sum[o][t] += slopes[o] * values[t];
    }
  }

  PTMZ_UNROLL
  for (int k = 0; k < kSums; ++k) cells[k * kNarrowThreads + thread] = sum[k / kTaps][k % kTaps];
  for (int half = kNarrowThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    for (int e = thread; e < kSums * half; e += kNarrowThreads) {
      T* const cell = cells + e / half * kNarrowThreads + e % half;
      *cell += cell[half];
    }
  }
  __syncthreads();
  const int64_t columns = s.group_c * kTaps, outputs = s.group_o * columns,
                at = (first + thread / kTaps) * columns + input * kTaps + thread % kTaps;
  const bool mine = thread < kSums && first + thread / kTaps < s.group_o;
  double all = mine ? static_cast<double>(cells[thread * kNarrowThreads]) : 0;
  if (task.splits > 1) {
    T* const partials = partials_of<T>(task) + group * task.splits * outputs + at;
    if (mine) partials[split * outputs] = static_cast<T>(all);
    if (!is_last_split(task, output)) return;
    if (mine) all = sum_of_splits(partials, outputs, task.splits);
  }
  if (mine) base_of<T>(task, 0)[group * outputs + at] = static_cast<T>(all);
}

// ---- kernels

// Blocks of a multiprocessor for which the compiler has to save registers: of fewer they would hide less of the time
// that memory takes, of more they would spill. The gradient of weights holds 36 sums.
constexpr int kImageBlocks = 8;
template <typename T>
constexpr int kWeightBlocks = sizeof(T) == 8 ? 3 : 5;

template <typename T, NarrowBody BODY>
__device__ void run(const NarrowTask& task, unsigned block) {
  using enum NarrowBody;
  if constexpr (BODY == forward2) narrow_images<T, ConvForward, 2>(task, block);
  if constexpr (BODY == forward4) narrow_images<T, ConvForward, 4>(task, block);
  if constexpr (BODY == forward8) narrow_images<T, ConvForward, 8>(task, block);
  if constexpr (BODY == input2) narrow_images<T, ConvInput, 2>(task, block);
  if constexpr (BODY == input4) narrow_images<T, ConvInput, 4>(task, block);
  if constexpr (BODY == input8) narrow_images<T, ConvInput, 8>(task, block);
  if constexpr (BODY == weight1_2) narrow_weight<T, 1, 2>(task, block);
  if constexpr (BODY == weight1_4) narrow_weight<T, 1, 4>(task, block);
  if constexpr (BODY == weight3_2) narrow_weight<T, 3, 2>(task, block);
  if constexpr (BODY == weight3_4) narrow_weight<T, 3, 4>(task, block);
}

template <typename T, NarrowBody BODY>
__global__ void __launch_bounds__(kNarrowThreads, BODY < NarrowBody::weight1_2 ? kImageBlocks : kWeightBlocks<T>)
    narrow(PTMZ_PARAMETER(NarrowTasks, all)) {
  run<T, BODY>(all.tasks[0], blockIdx.x);
}

// Runs the body of a task, which is BODY or a later one.
template <typename T, int BODY = 0>
__device__ void run_any(const NarrowTask& task, unsigned block) {
  if constexpr (BODY < static_cast<int>(NarrowBody::count)) {
    if (static_cast<int>(task.body) == BODY)
      run<T, static_cast<NarrowBody>(BODY)>(task, block);
    else
      run_any<T, BODY + 1>(task, block);
  }
}

template <typename T>
__global__ void __launch_bounds__(kNarrowThreads, kWeightBlocks<T>) narrow_beside(PTMZ_PARAMETER(NarrowTasks, all)) {
  unsigned block = blockIdx.x;
  int task = 0;
  for (; block >= static_cast<unsigned>(all.tasks[task].blocks); ++task)
    block -= static_cast<unsigned>(all.tasks[task].blocks);
  run_any<T>(all.tasks[task], block);
}

template <typename T, int... BODIES>
KernelOf<NarrowTasks> kernel_of(NarrowBody body, std::integer_sequence<int, BODIES...>) {
  static constexpr KernelOf<NarrowTasks> all[] = {narrow<T, static_cast<NarrowBody>(BODIES)>...};
  return all[static_cast<int>(body)];
}

}  // namespace

KernelOf<NarrowTasks> narrow_kernel(NarrowBody body, DType real) {
  using Bodies = std::make_integer_sequence<int, static_cast<int>(NarrowBody::count)>;
  return real == DType::f32 ? kernel_of<float>(body, Bodies()) : kernel_of<double>(body, Bodies());
}
KernelOf<NarrowTasks> narrow_beside_kernel(DType real) {
  return real == DType::f32 ? narrow_beside<float> : narrow_beside<double>;
}

}  // namespace ptmz::cuda
