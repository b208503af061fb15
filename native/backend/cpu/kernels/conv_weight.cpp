// conv2d_weight: dw[o][c][t] = sum over images and pixels of y[o][pixel] * x[c][base(pixel) + offset(t)], with images
// in the SIMD lanes. A block owns some (o, c) pairs and adds up all images in order, so no partial results ever meet.
#include "backend/cpu/kernels/conv.h"
#include "backend/cpu/kernels/lanes.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// Lanes of x and y for some images and rows; sets are groups of images that fill the lanes.
template <typename V>
struct Step {
  const V *x, *y;
  int64_t x_set, y_set, sets;
  const int32_t* base;  // of each pixel of y in the window on x
  int64_t pixels;
};

// acc[m * acc_row + k] += sum over sets and pixels of y[m][pixel] * x[base(pixel) + offset[k]].
template <int M, int K, typename V>
__attribute__((noinline)) void accumulate(const Step<V>& step, int64_t m, const int64_t* offset, V* acc,
                                          int64_t acc_row) {
  V sums[M][K];
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 6
    for (int k = 0; k < K; ++k) sums[i][k] = acc[i * acc_row + k];
  }
  int64_t at[K];
#pragma GCC unroll 6
  for (int k = 0; k < K; ++k) at[k] = offset[k];
  const int64_t pixels = step.pixels;
  for (int64_t set = 0; set < step.sets; ++set) {
    const V *x = step.x + set * step.x_set, *y = step.y + set * step.y_set + m * pixels;
    for (int64_t p = 0; p < pixels; ++p) {
      const V* from = x + step.base[p];
      V u[M];
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) u[i] = y[i * pixels + p];
#pragma GCC unroll 6
      for (int k = 0; k < K; ++k) {
        const V value = from[at[k]];
#pragma GCC unroll 4
        for (int i = 0; i < M; ++i) sums[i][k] += u[i] * value;
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 6
    for (int k = 0; k < K; ++k) acc[i * acc_row + k] = sums[i][k];
  }
}

constexpr int kMostTaps = kVectorRegisters == 32 ? 6 : 3;

template <int M, int K, typename V>
void accumulate_some(int64_t count, const Step<V>& step, int64_t m, const int64_t* offset, V* acc, int64_t acc_row) {
  if constexpr (K > 1) {
    if (count < K) return accumulate_some<M, K - 1>(count, step, m, offset, acc, acc_row);
  }
  accumulate<M, K>(step, m, offset, acc, acc_row);
}

// All (o, c, tap) of the block, in register tiles of up to 4 x kMostTaps.
template <typename V>
void accumulate_block(const Step<V>& step, int64_t channels, const int64_t* offset, int64_t taps, V* acc) {
  const int64_t k_tiles = ceil_divide(taps, kMostTaps), m_tiles = ceil_divide(channels, 4);
  for (int64_t j = 0; j < k_tiles; ++j) {
    const int64_t k = taps * j / k_tiles, count = taps * (j + 1) / k_tiles - k;
    for (int64_t i = 0; i < m_tiles; ++i) {
      const int64_t m = channels * i / m_tiles;
      V* sums = acc + m * taps + k;
      switch (channels * (i + 1) / m_tiles - m) {
        case 4:
          accumulate_some<4, kMostTaps>(count, step, m, offset + k, sums, taps);
          break;
        case 3:
          accumulate_some<3, kMostTaps>(count, step, m, offset + k, sums, taps);
          break;
        case 2:
          accumulate_some<2, kMostTaps>(count, step, m, offset + k, sums, taps);
          break;
        default:
          accumulate_some<1, kMostTaps>(count, step, m, offset + k, sums, taps);
      }
    }
  }
}

// out[i] = the sum of the lanes of acc[i]; reads (but does not use) up to a vector's worth past the end.
template <typename T, int Bytes>
void add_lanes(const typename Lanes<T, Bytes>::Vector* acc, int64_t count, T* out) {
  using V = typename Lanes<T, Bytes>::Vector;
  constexpr int L = Lanes<T, Bytes>::count;
  for (int64_t i = 0; i < count; i += L) {
    V rows[L];
#pragma GCC unroll 16
    for (int e = 0; e < L; ++e) rows[e] = acc[i + e];
    transpose(rows);
#pragma GCC unroll 4
    for (int half = L / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
      for (int e = 0; e < half; ++e) rows[e] += rows[e + half];
    }
    const int64_t n = smaller(L, count - i);
    for (int64_t e = 0; e < n; ++e) out[i + e] = rows[0][e];
  }
}

template <typename T, int Bytes>
void run_block(const Call& call, const Convolution& s, const WeightPlan& p, int64_t index) {
  using V = typename Lanes<T, Bytes>::Vector;
  constexpr int L = Lanes<T, Bytes>::count;
  const int64_t c = index % p.c_blocks * p.block_c, c_count = smaller(p.block_c, s.group_c() - c);
  index /= p.c_blocks;
  const int64_t o = index % p.o_blocks * p.block_o, o_count = smaller(p.block_o, s.group_o() - o);
  const int64_t group = index / p.o_blocks;

  char* scratch = static_cast<char*>(call.scratch);
  V* x = reinterpret_cast<V*>(scratch);
  V* y = reinterpret_cast<V*>(scratch + p.window_bytes);
  V* acc = reinterpret_cast<V*>(scratch + p.window_bytes + p.output_bytes);
  int64_t* offset = reinterpret_cast<int64_t*>(scratch + p.window_bytes + p.output_bytes + p.accumulator_bytes);
  int32_t* base = reinterpret_cast<int32_t*>(offset + p.block_c * s.taps());
  int32_t* y_position = base + p.step_rows * s.ow;
  int32_t* x_position = y_position + p.step_rows * s.ow;

  const int64_t x_plane = s.h * s.w, y_plane = s.oh * s.ow, count = c_count * s.taps();
  const T* x_data = static_cast<const T*>(call.pointers[1]) + (group * s.group_c() + c) * x_plane;
  const T* y_data = static_cast<const T*>(call.pointers[2]) + (group * s.group_o() + o) * y_plane;
  zero(acc, o_count * count * Bytes);
  for (int64_t row = 0; row < s.oh; row += p.step_rows) {
    const int64_t rows = smaller(p.step_rows, s.oh - row), pixels = rows * s.ow;
    const Window window = forward_window(s, row, row + rows);
    const int64_t plane = window.rows * window.columns;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t tap = i % s.taps();
      offset[i] = i / s.taps() * plane + tap / s.kw * s.dilation_h * window.columns + tap % s.kw * s.dilation_w;
    }
    for (int64_t i = 0; i < pixels; ++i) {
      base[i] = static_cast<int32_t>(i / s.ow * s.stride_h * window.columns + i % s.ow * s.stride_w);
      y_position[i] = static_cast<int32_t>(i);
    }
    const Covered covered = cover(window, s.h, s.w, x_position);
    if (covered.border) zero(x, p.window_bytes);
    for (int64_t image = 0; image < s.n; image += p.step_images) {
      const int64_t images = smaller(p.step_images, s.n - image), sets = ceil_divide(images, L);
      for (int64_t set = 0; set < sets; ++set) {
        const int64_t first = image + set * L, live = smaller(L, s.n - first);
        const Planes<const T> from_x = {
            x_data + first * s.c * x_plane, s.c * x_plane, x_plane, c_count, covered.begin, covered.count};
        load_lanes<T, Bytes>(x + set * c_count * plane, plane, from_x, live, x_position);
        const Planes<const T> from_y = {
            y_data + first * s.o * y_plane, s.o * y_plane, y_plane, o_count, row * s.ow, pixels};
        load_lanes<T, Bytes>(y + set * o_count * pixels, pixels, from_y, live, y_position);
      }
      accumulate_block<V>({x, y, c_count * plane, o_count * pixels, sets, base, pixels}, o_count, offset, count, acc);
    }
  }
  T* w = static_cast<T*>(call.pointers[0]) + ((group * s.group_o() + o) * s.group_c() + c) * s.taps();
  for (int64_t i = 0; i < o_count; ++i) add_lanes<T, Bytes>(acc + i * count, count, w + i * s.group_c() * s.taps());
}

// Operands: w, x, y. All dense.
template <typename T>
void weight_convolution(const Call& call) {
  const Convolution s = read_convolution(call.launch);
  const WeightPlan p = plan_weight(call.launch, sizeof(T));
  for (int64_t i = call.begin; i < call.end; ++i) {
    if (s.n * static_cast<int64_t>(sizeof(T)) <= kHalfVectorBytes) {
      run_block<T, kHalfVectorBytes>(call, s, p, i);
    } else {
      run_block<T, kVectorBytes>(call, s, p, i);
    }
  }
}

}  // namespace

void add_weight_convolution(KernelTable& table) {
  enter<float>(table, LaunchCode::conv2d_weight, weight_convolution<float>);
  enter<double>(table, LaunchCode::conv2d_weight, weight_convolution<double>);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
