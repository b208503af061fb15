// Batch norm: statistics, normalisation with residual and relu, and its gradient. Shape: (outer, C, run), dense. A
// block takes WIDTH channels: one, or where these lie side by side kChannelsAside, so that it reads whole sectors of
// memory.
#include <type_traits>

#include "backend/cuda/kernels/fold.h"
#include "backend/cuda/kernels/splits.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {
namespace {

// What one channel is multiplied with: the value is (x - mean) * scale + bias.
template <typename T>
struct Affine {
  T mean, scale, bias, deviation;  // deviation: 1 / sqrt(var + eps)

  // Operands `first`, ...: stats (strides 0: rows, 1: channels), weight, bias.
  __device__ Affine(const Task& task, int first, int64_t c) {
    const int64_t* strides = task.operands[first].strides;
    const T* stats = base_of<const T>(task, first) + c * strides[1];
    deviation = static_cast<T>(1 / sqrt(static_cast<double>(stats[strides[0]]) + task.reals[0]));
    mean = stats[0];
    scale = value_at<T>(task, first + 1, c * task.operands[first + 1].strides[0]) * deviation;
    bias = value_at<T>(task, first + 2, c * task.operands[first + 2].strides[0]);
  }
  __device__ T operator()(T x) const { return (x - mean) * scale + bias; }
};

// 0 where x <= 0; a NaN goes through.
template <typename T>
__device__ inline T rectified(T x, T value) {
  return x <= 0 ? T(0) : value;
}

// Count, mean and sum of squared deviations, joined as Chan, Golub and LeVeque (1979, eq. 2.1).
struct Moments {
  double count, mean, squares;
  __device__ static Moments start() { return {0, 0, 0}; }
  __device__ static Moments join(const Moments& a, const Moments& b) {
    const double all = a.count + b.count;
    if (b.count == 0) return a;
    if (a.count == 0) return b;
    const double gap = b.mean - a.mean;
    return {all, a.mean + gap * (b.count / all), a.squares + b.squares + gap * gap * (a.count * b.count / all)};
  }
};
struct TwoSums {
  double first, second;
  __device__ static TwoSums start() { return {0, 0}; }
  __device__ static TwoSums join(const TwoSums& a, const TwoSums& b) {
    return {a.first + b.first, a.second + b.second};
  }
};

// The elements of a channel that a block takes, and where they are; a thread takes those from `first` on that are
// `step` apart. A channel that there is not has none.
struct Share {
  int64_t channel, begin, end, run, channels;
  int first, step;
  bool exists;
  template <int WIDTH>
  __device__ static Share of(const Task& task) {
    const int thread = static_cast<int>(threadIdx.x);
    Share s{};
    s.run = task.shape[2];
    s.channels = task.shape[1];
    s.channel = static_cast<int64_t>(blockIdx.x) * WIDTH + thread % WIDTH;
    s.exists = WIDTH == 1 || s.channel < s.channels;
    s.begin = blockIdx.z * task.split_size;
    s.end = task.reduced - s.begin < task.split_size ? task.reduced : s.begin + task.split_size;
    s.first = thread / WIDTH;
    s.step = static_cast<int>(blockDim.x) / WIDTH;
    return s;
  }
  __device__ int64_t at(int64_t i) const { return (i / run * channels + channel) * run + i % run; }
};

// The sums of a channel: Statistics and BackwardSums take them over a share, with the operands of the launch that reads
// them, and store them as (2,C).

// Operands: y, x. About a pivot that lies among the numbers: nothing cancels, whatever their offset.
template <typename T>
struct Statistics {
  using Partial = Moments;
  static constexpr int kSums = 2;  // the operand of batch_norm that they are
  __device__ static Moments of(const Task& task, const Share& share) {
    const T* x = base_of<const T>(task, 1);
    const int64_t lead = share.end - share.begin < 16 ? share.end - share.begin : 16;
    double start = 0;
    for (int64_t i = 0; i < lead; ++i) start += static_cast<double>(x[share.at(share.begin + i)]);
    const T pivot = static_cast<T>(start / static_cast<double>(lead));
    Total<T> sum, squares;
    int64_t count = 0;
    for (int64_t i = share.begin + share.first; i < share.end; i += share.step, ++count) {
      const T d = x[share.at(i)] - pivot;
      sum.add(d);
      squares.add(d * d);
    }
    if (count == 0) return Moments::start();
    const double n = static_cast<double>(count), total = sum.value(), shift = total / n;
    return {n, static_cast<double>(pivot) + shift, squares.value() - shift * total};
  }
  __device__ static void store(const Task& task, T* out, int64_t c, const Moments& m) {
    out[c] = static_cast<T>(m.mean);
    out[task.shape[1] + c] = static_cast<T>(m.squares / static_cast<double>(task.reduced));
  }
};

// Operands: dx, g, x, stats, weight, bias. ints: relu.
template <typename T>
struct BackwardSums {
  using Partial = TwoSums;
  static constexpr int kSums = 6;  // of batch_norm_backward_input
  __device__ static TwoSums of(const Task& task, const Share& share) {
    const T* g = base_of<const T>(task, 1);
    return sum(task, share, [g](int64_t i) { return g[i]; });
  }
  // `given_of`: the gradient of an element.
  template <typename F>
  __device__ static TwoSums sum(const Task& task, const Share& share, F given_of) {
    const Affine<T> affine(task, 3, share.channel);
    const T* x = base_of<const T>(task, 2);
    const bool relu = task.ints[0] != 0;
    Total<T> first, second;
    for (int64_t i = share.begin + share.first; i < share.end; i += share.step) {
      const int64_t at = share.at(i);
      const T value = x[at], given = given_of(at), gradient = relu ? rectified(affine(value), given) : given;
      first.add(gradient);
      second.add(gradient * (value - affine.mean));
    }
    return {first.value(), second.value()};
  }
  __device__ static void store(const Task& task, T* out, int64_t c, const TwoSums& sums) {
    const Affine<T> affine(task, 3, c);
    out[c] = static_cast<T>(sums.first);
    out[task.shape[1] + c] = static_cast<T>(sums.second * static_cast<double>(affine.deviation));
  }
};

// The same of a gradient that the task's instructions compute first.
template <typename T>
struct ComputedSums : BackwardSums<T> {
  __device__ static TwoSums of(const Task& task, const Share& share) {
    PTMZ_DYNAMIC_SHARED(char, shared);
    Registers<T, 1> registers(reinterpret_cast<T*>(shared + kChannelPartialBytes * blockDim.x));
    T* const g = base_of<T>(task, 1);
    return BackwardSums<T>::sum(task, share, [&](int64_t i) {
      for (int r = 0; r + kNormInputs < task.operand_count; ++r)
        registers.at(r, 0) = value_at<T>(task, kNormInputs + r, i);
      registers.run(task.instrs, task.instr_count);
      return g[i] = registers.at(task.result_register, 0);
    });
  }
};

// What reads them, for the elements of a channel.

// Operands: y, x, stats, weight, bias [, residual]. ints: relu.
template <typename T, bool Add>
struct Normalise {
  Affine<T> affine;
  __device__ Normalise(const Task& task, int64_t c) : affine(task, 2, c) {}
  __device__ void operator()(const Task& task, int64_t i) const {
    T value = affine(base_of<const T>(task, 1)[i]);
    if (Add) value += base_of<const T>(task, 5)[i];
    if (task.ints[0] != 0) value = rectified(value, value);
    base_of<T>(task, 0)[i] = value;
  }
};

// Operands: dx, g, x, stats, weight, bias, sums (2,C). ints: relu.
template <typename T>
struct GradientInput {
  Affine<T> affine;
  T mean_g, slope;
  __device__ GradientInput(const Task& task, int64_t c) : affine(task, 3, c) {
    const int64_t* strides = task.operands[6].strides;
    const T* sums = base_of<const T>(task, 6) + c * strides[1];
    const double elements = static_cast<double>(task.reduced);
    mean_g = static_cast<T>(static_cast<double>(sums[0]) / elements);
    slope = static_cast<T>(static_cast<double>(sums[strides[0]]) / elements * static_cast<double>(affine.deviation));
  }
  __device__ void operator()(const Task& task, int64_t i) const {
    const T x = base_of<const T>(task, 2)[i], given = base_of<const T>(task, 1)[i];
    const T gradient = task.ints[0] != 0 ? rectified(affine(x), given) : given;
    base_of<T>(task, 0)[i] = ((gradient - mean_g) - (x - affine.mean) * slope) * affine.scale;
  }
};

template <int WIDTH, typename Partial>
__device__ Partial fold_channel(const Share& share, const Partial& own) {
  static_assert(sizeof(Partial) <= kChannelPartialBytes);
  PTMZ_DYNAMIC_SHARED(Partial, cells);
  return fold_lanes<Partial>(cells, own, static_cast<int>(threadIdx.x) % WIDTH, share.first, share.step, WIDTH);
}

// What a channel's threads find together, over the share of their block.
template <typename T, template <typename> class Sums, int WIDTH>
__device__ auto sums_of(const Task& task, const Share& share) {
  using Partial = typename Sums<T>::Partial;
  return fold_channel<WIDTH>(share, share.exists ? Sums<T>::of(task, share) : Partial::start());
}

// Block x: channels, z: split. Operand 0 is what the sums are stored in.
template <typename T, template <typename> class Sums, int WIDTH>
__global__ void sum_channel(PTMZ_TASK) {
  using Partial = typename Sums<T>::Partial;
  const Share share = Share::of<WIDTH>(task);
  Partial all = sums_of<T, Sums, WIDTH>(task, share);
  const bool stores = share.exists && share.first == 0;
  if (task.splits > 1) {
    Partial* partials = partials_of<Partial>(task) + share.channel * task.splits;
    if (stores) partials[blockIdx.z] = all;
    if (!is_last_split(task, blockIdx.x)) return;
    Partial own = Partial::start();
    for (int split = share.first; share.exists && split < task.splits; split += share.step)
      own = Partial::join(own, partials[split]);
    all = fold_channel<WIDTH>(share, own);
  }
  if (stores) Sums<T>::store(task, base_of<T>(task, 0), share.channel, all);
}

// Every thread takes kNormWidth elements, a block apart: most are of one channel, whose numbers it works out once.
template <typename T, typename What>
__global__ void normalise(PTMZ_TASK) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kNormWidth * blockDim.x + threadIdx.x;
  if (first >= task.count) return;
  const auto channel_at = [&](int64_t i) { return i / task.shape[2] % task.shape[1]; };
  int64_t channel = channel_at(first);
  What what(task, channel);
  for (int64_t i = first, w = 0; w < kNormWidth && i < task.count; ++w, i += blockDim.x) {
    if (const int64_t own = channel_at(i); own != channel) what = What(task, channel = own);
    what(task, i);
  }
}

// Block x: channels, all of them: their sums, and then what reads these. 1024 threads are the most of a block; for two
// blocks at a time the compiler would spill.
template <typename T, template <typename> class Sums, typename What, int WIDTH>
__global__ void __launch_bounds__(1024, 1) normalise_channel(PTMZ_TASK) {
  const Share share = Share::of<WIDTH>(task);
  const auto all = sums_of<T, Sums, WIDTH>(task, share);
  if (share.exists && share.first == 0) Sums<T>::store(task, base_of<T>(task, Sums<T>::kSums), share.channel, all);
  __syncthreads();
  if (!share.exists) return;
  const What what(task, share.channel);
  for (int64_t i = share.begin + share.first; i < share.end; i += share.step) what(task, share.at(i));
}

template <typename T, int WIDTH>
Kernel channel_of(bool statistics) {
  if (statistics) return sum_channel<T, Statistics, WIDTH>;
  return sum_channel<T, BackwardSums, WIDTH>;
}
template <typename T>
Kernel normalise_of(LaunchCode code) {
  if (code == LaunchCode::batch_norm_backward_input) return normalise<T, GradientInput<T>>;
  if (code == LaunchCode::batch_norm_add) return normalise<T, Normalise<T, true>>;
  return normalise<T, Normalise<T, false>>;
}
template <typename T, int WIDTH>
Kernel whole_of(LaunchCode code, bool computes) {
  if (computes) return normalise_channel<T, ComputedSums, GradientInput<T>, WIDTH>;
  if (code == LaunchCode::batch_norm_backward) return normalise_channel<T, BackwardSums, GradientInput<T>, WIDTH>;
  if (code == LaunchCode::batch_norm_training_add) return normalise_channel<T, Statistics, Normalise<T, true>, WIDTH>;
  return normalise_channel<T, Statistics, Normalise<T, false>, WIDTH>;
}

// The kernel for blocks of one channel, or of several.
template <typename F>
Kernel for_width(bool aside, F of) {
  if (aside) return of(std::integral_constant<int, kChannelsAside>());
  return of(std::integral_constant<int, 1>());
}

}  // namespace

Kernel channel_kernel(LaunchCode code, DType real, bool aside) {
  const bool statistics = code == LaunchCode::batch_statistics;
  return for_width(aside, [&](auto width) {
    return real == DType::f32 ? channel_of<float, width>(statistics) : channel_of<double, width>(statistics);
  });
}
Kernel normalise_kernel(LaunchCode code, DType real) {
  return real == DType::f32 ? normalise_of<float>(code) : normalise_of<double>(code);
}
Kernel whole_channel_kernel(LaunchCode code, DType real, bool computes, bool aside) {
  return for_width(aside, [&](auto width) {
    return real == DType::f32 ? whole_of<float, width>(code, computes) : whole_of<double, width>(code, computes);
  });
}

}  // namespace ptmz::cuda
