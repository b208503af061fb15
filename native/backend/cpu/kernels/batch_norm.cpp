// Batch norm: statistics, normalisation with residual and relu, and its gradient, each in one pass over memory.
//
// All work on runs of one channel that follow each other in memory, so that it does not matter whether tensors are
// plain (N,C,inner) or have images in the lanes (sets,C,inner,lanes): shape is (outer, C, run). Lanes without an image
// are left out of sums.
#include <math.h>

#include "backend/cpu/kernels/vectors.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

struct Runs {
  int64_t outer, channels, run, lanes, tail;
  explicit Runs(const Launch& l)
      : outer(l.shape[0]), channels(l.shape[1]), run(l.shape[2]), lanes(l.ints[kLanesInt]), tail(l.ints[kTailInt]) {}
  int64_t at(int64_t o, int64_t c) const { return (o * channels + c) * run; }
  bool is_full(int64_t o) const { return tail == 0 || o + 1 < outer; }
  double count() const {
    const int64_t empty = tail == 0 ? 0 : run / lanes * (lanes - tail);
    return static_cast<double>(outer * run - empty);
  }
};

// What of a run is taken: all of it, or the lanes that have an image.
struct AllLanes {
  template <typename V>
  PTMZ_INLINE V keep(const V& v, int64_t) const {
    return v;
  }
};

constexpr int64_t kChunk = 4096;  // elements whose moments are taken about one pivot

// Mean and sum of squared deviations of some numbers, joined as Chan, Golub and LeVeque (1979, eq. 2.1).
struct Moments {
  double count = 0, mean = 0, squares = 0;

  void join(double n, double m, double s) {
    const double all = count + n, gap = m - mean;
    mean += gap * (n / all);
    squares += s + gap * gap * (count * n / all);
    count = all;
  }
};

// About a pivot that lies among the numbers: nothing cancels, whatever their offset.
template <typename T, typename Live>
void add_chunk(Moments& moments, const T* x, int64_t n, int64_t live_count, const Live& live) {
  double start = 0;
  const int64_t lead = smaller(n, 16);
  for (int64_t i = 0; i < lead; ++i) start += static_cast<double>(x[i]);
  const T pivot = static_cast<T>(start / static_cast<double>(lead));
  TwoSums<T> sums;
  sums.add(
      n,
      [&](int64_t i, Vector<T>& a, Vector<T>& b) {
        const Vector<T> d = live.keep(load(x + i) - pivot, i);
        a += d;
        b += d * d;
      },
      [&](int64_t i, T& a, T& b) {
        const T d = live.keep(x[i] - pivot, i);
        a = d;
        b = d * d;
      });
  const double count = static_cast<double>(live_count), shift = sums.first / count;
  moments.join(count, static_cast<double>(pivot) + shift, sums.second - shift * sums.first);
}

// Operands: stats (2,C), x.
template <typename T>
void batch_statistics(const Call& call) {
  const Runs r(call.launch);
  const T* x = static_cast<const T*>(call.pointers[1]);
  T* stats = static_cast<T*>(call.pointers[0]);
  const LiveLanes<T> live(r.lanes, r.tail);
  for (int64_t c = call.begin; c < call.end; ++c) {
    Moments moments;
    for (int64_t o = 0; o < r.outer; ++o) {
      const T* run = x + r.at(o, c);
      for (int64_t i = 0; i < r.run; i += kChunk) {
        const int64_t n = smaller(kChunk, r.run - i);
        r.is_full(o) ? add_chunk(moments, run + i, n, n, AllLanes())
                     : add_chunk(moments, run + i, n, n / r.lanes * r.tail, live);
      }
    }
    stats[c] = static_cast<T>(moments.mean);
    stats[r.channels + c] = static_cast<T>(moments.squares / r.count());
  }
}

// What one channel is multiplied with: the value is (x - mean) * scale + bias.
template <typename T>
struct Affine {
  T mean, scale, bias, deviation;  // deviation: 1 / sqrt(var + eps)
};
template <typename T>
T channel_value(const Call& call, int operand, int64_t c) {
  const Operand& o = call.launch.operands[operand];
  if (o.buffer < 0) return static_cast<T>(o.value);
  return static_cast<const T*>(call.pointers[operand])[c * o.strides[0]];
}
// Operands `first`, ... : stats (strides 0: rows, 1: channels), weight, bias.
template <typename T>
Affine<T> find_affine(const Call& call, int first, int64_t c) {
  const Operand& o = call.launch.operands[first];
  const T* stats = static_cast<const T*>(call.pointers[first]) + c * o.strides[1];
  const T deviation = static_cast<T>(1 / ::sqrt(static_cast<double>(stats[o.strides[0]]) + call.launch.reals[0]));
  return {stats[0], channel_value<T>(call, first + 1, c) * deviation, channel_value<T>(call, first + 2, c), deviation};
}
template <typename T, typename V>
PTMZ_INLINE V affine(const Affine<T>& a, const V& x) {
  return (x - a.mean) * a.scale + a.bias;
}
// 0 where x <= 0; a NaN goes through.
template <typename V>
PTMZ_INLINE V rectified(const V& x, const V& value) {
  return x <= 0 ? V{} : value;
}

// Runs [begin, end) of all outer x channels.
struct RunRange {
  int64_t begin, end;
  explicit RunRange(const Call& call) {
    const Runs r(call.launch);
    const int64_t runs = r.outer * r.channels, size = run_block(r.run);
    begin = smaller(call.begin * size, runs);
    end = smaller(call.end * size, runs);
  }
};

// Operands: y, x, stats, weight, bias [, residual].
template <typename T, bool Add, bool Relu>
void normalise(const Call& call) {
  const Runs r(call.launch);
  const RunRange range(call);
  constexpr int E = kLanes<T>;
  for (int64_t k = range.begin; k < range.end; ++k) {
    const Affine<T> a = find_affine<T>(call, 2, k % r.channels);
    const T* x = static_cast<const T*>(call.pointers[1]) + k * r.run;
    const T* residual = Add ? static_cast<const T*>(call.pointers[5]) + k * r.run : nullptr;
    T* y = static_cast<T*>(call.pointers[0]) + k * r.run;
    int64_t i = 0;
    for (; i + E <= r.run; i += E) {
      Vector<T> value = affine<T, Vector<T>>(a, load(x + i));
      if constexpr (Add) value += load(residual + i);
      if constexpr (Relu) value = rectified(value, value);
      store(y + i, value);
    }
    for (; i < r.run; ++i) {
      T value = affine<T, T>(a, x[i]);
      if constexpr (Add) value += residual[i];
      if constexpr (Relu) value = rectified(value, value);
      y[i] = value;
    }
  }
}
template <typename T, bool Add>
void batch_norm(const Call& call) {
  call.launch.ints[0] ? normalise<T, Add, true>(call) : normalise<T, Add, false>(call);
}

template <typename T, bool Relu, typename Live>
void add_gradient(TwoSums<T>& sums, const Affine<T>& a, const T* g, const T* x, int64_t n, const Live& live) {
  const auto terms = [&](int64_t i, auto gradient, auto value, auto& first, auto& second) {
    if constexpr (Relu) gradient = rectified(affine<T>(a, value), gradient);
    gradient = live.keep(gradient, i);
    first += gradient;
    second += gradient * (value - a.mean);
  };
  sums.add(
      n, [&](int64_t i, Vector<T>& first, Vector<T>& second) { terms(i, load(g + i), load(x + i), first, second); },
      [&](int64_t i, T& first, T& second) { terms(i, g[i], x[i], first, second); });
}

// Operands: sums (2,C), g, x, stats, weight, bias.
template <typename T, bool Relu>
void gradient_sums(const Call& call) {
  const Runs r(call.launch);
  const LiveLanes<T> live(r.lanes, r.tail);
  T* out = static_cast<T*>(call.pointers[0]);
  for (int64_t c = call.begin; c < call.end; ++c) {
    const Affine<T> a = find_affine<T>(call, 3, c);
    TwoSums<T> sums;
    for (int64_t o = 0; o < r.outer; ++o) {
      const T* g = static_cast<const T*>(call.pointers[1]) + r.at(o, c);
      const T* x = static_cast<const T*>(call.pointers[2]) + r.at(o, c);
      r.is_full(o) ? add_gradient<T, Relu>(sums, a, g, x, r.run, AllLanes())
                   : add_gradient<T, Relu>(sums, a, g, x, r.run, live);
    }
    out[c] = static_cast<T>(sums.first);
    out[r.channels + c] = static_cast<T>(sums.second * static_cast<double>(a.deviation));
  }
}
template <typename T>
void batch_norm_backward_sums(const Call& call) {
  call.launch.ints[0] ? gradient_sums<T, true>(call) : gradient_sums<T, false>(call);
}

// Operands: dx, g, x, stats, weight, bias, sums (2,C).
template <typename T, bool Relu>
void gradient_input(const Call& call) {
  const Runs r(call.launch);
  const RunRange range(call);
  constexpr int E = kLanes<T>;
  for (int64_t k = range.begin; k < range.end; ++k) {
    const int64_t c = k % r.channels;
    const Affine<T> a = find_affine<T>(call, 3, c);
    const Operand& o = call.launch.operands[6];
    const T* sums = static_cast<const T*>(call.pointers[6]) + c * o.strides[1];
    const T mean_g = static_cast<T>(static_cast<double>(sums[0]) / r.count());
    const T slope =
        static_cast<T>(static_cast<double>(sums[o.strides[0]]) / r.count() * static_cast<double>(a.deviation));
    const T* g = static_cast<const T*>(call.pointers[1]) + k * r.run;
    const T* x = static_cast<const T*>(call.pointers[2]) + k * r.run;
    T* out = static_cast<T*>(call.pointers[0]) + k * r.run;
    const auto value = [&](auto gradient, auto at) {
      if constexpr (Relu) gradient = rectified(affine<T>(a, at), gradient);
      return ((gradient - mean_g) - (at - a.mean) * slope) * a.scale;
    };
    int64_t i = 0;
    for (; i + E <= r.run; i += E) store<T>(out + i, value(load(g + i), load(x + i)));
    for (; i < r.run; ++i) out[i] = value(g[i], x[i]);
  }
}
template <typename T>
void batch_norm_backward_input(const Call& call) {
  call.launch.ints[0] ? gradient_input<T, true>(call) : gradient_input<T, false>(call);
}

template <typename T>
void enter_all(KernelTable& table) {
  enter<T>(table, LaunchCode::batch_statistics, batch_statistics<T>);
  enter<T>(table, LaunchCode::batch_norm, batch_norm<T, false>);
  enter<T>(table, LaunchCode::batch_norm_add, batch_norm<T, true>);
  enter<T>(table, LaunchCode::batch_norm_backward_sums, batch_norm_backward_sums<T>);
  enter<T>(table, LaunchCode::batch_norm_backward_input, batch_norm_backward_input<T>);
}

}  // namespace

void add_batch_norm(KernelTable& table) {
  enter_all<float>(table);
  enter_all<double>(table);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
