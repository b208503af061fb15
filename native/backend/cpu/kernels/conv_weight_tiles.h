// Register tiles of conv2d_weight: some output channels by some (c, tap) pairs, or by some channels for one tap.
//
// Pairs of all taps serve few channels: they leave enough sums in registers. One tap serves many: its pixels are a
// rectangle, so nothing outside of the planes is ever read, and the next tap finds the same pixels in the first-level
// cache.
#pragma once
#include "backend/cpu/kernels/lanes.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// x and y for some images and rows. Sets are groups of images that fill the lanes; a vector is one pixel's lanes or a
// part of them, or the lanes of neighbouring pixels. All distances are in elements.
template <typename T>
struct Step {
  const T *x, *y;
  int64_t x_set, y_set, sets;
  int64_t x_part, parts;  // parts of a pixel's lanes, where a vector holds less than all of them
  int64_t x_row, y_row, rows;
  int64_t x_vector, y_vector, vectors;
  int64_t x_channel, y_channel;
  bool bordered;   // x has no zeros around its planes: some taps leave them
  const T* zeros;  // as long as a row with its borders
};

// One (c, tap) pair: where it reads for the first pixel of the first row, and where it would leave the plane.
struct Tap {
  int64_t offset;
  int64_t row_begin, row_end;  // rows of the step in which it stays inside
  int64_t ends;                // kFirst, kLast: outside at that pixel of every row
};

// sums[i][k] += y[i * channel] * x[k][at].
template <int M, int K, typename V, typename T>
PTMZ_INLINE void accumulate_pixel(V (&sums)[M][K], const T* y, int64_t channel, const T* const (&x)[K], int64_t at) {
  using Unaligned = typename Lanes<T, sizeof(V)>::Unaligned;
  V u[M];
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) u[i] = *reinterpret_cast<const Unaligned*>(y + i * channel);
#pragma GCC unroll 9
  for (int k = 0; k < K; ++k) {
    const V value = *reinterpret_cast<const Unaligned*>(x[k] + at);
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) sums[i][k] += u[i] * value;
  }
}

// acc[m * acc_row + k] += sum over sets and pixels of y[m][pixel] * x[base(pixel) + offset of tap k]. `Bordered`: taps
// may leave the plane, and then read from step.zeros.
template <int M, int K, bool Bordered, typename V, typename T>
__attribute__((noinline)) void accumulate(const Step<T>& step, int64_t m, const Tap* tap, V* acc, int64_t acc_row) {
  V sums[M][K];
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 9
    for (int k = 0; k < K; ++k) sums[i][k] = acc[i * acc_row + k];
  }
  const int64_t channel = step.y_channel;
  for (int64_t set = 0; set < step.sets; ++set) {
    for (int64_t part = 0; part < step.parts; ++part) {
      const T* x_row = step.x + set * step.x_set + part * step.x_part;
      const T* y_row = step.y + set * step.y_set + part * step.x_part + m * channel;
      for (int64_t row = 0; row < step.rows; ++row, x_row += step.x_row, y_row += step.y_row) {
        const T *x[K], *y = y_row;
        [[maybe_unused]] const T* end[K];
#pragma GCC unroll 9
        for (int k = 0; k < K; ++k) {
          x[k] = x_row + tap[k].offset;
          if constexpr (Bordered) x[k] = row >= tap[k].row_begin && row < tap[k].row_end ? x[k] : step.zeros;
        }
        int64_t pixels = step.vectors, at = 0;
        if constexpr (Bordered) {
#pragma GCC unroll 9
          for (int k = 0; k < K; ++k)
            end[k] = (tap[k].ends & (kFirst | (pixels == 1 ? kLast : 0))) != 0 ? step.zeros : x[k];
          accumulate_pixel<M, K>(sums, y, channel, end, 0);
          at += step.x_vector;
          y += step.y_vector;
          pixels -= 2;
        }
        for (int64_t p = 0; p < pixels; ++p, at += step.x_vector, y += step.y_vector)
          accumulate_pixel<M, K>(sums, y, channel, x, at);
        if constexpr (Bordered) {
          if (pixels < 0) continue;
#pragma GCC unroll 9
          for (int k = 0; k < K; ++k) end[k] = (tap[k].ends & kLast) != 0 ? step.zeros : x[k] + at;
          accumulate_pixel<M, K>(sums, y, channel, end, 0);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 9
    for (int k = 0; k < K; ++k) acc[i * acc_row + k] = sums[i][k];
  }
}

// Most (c, tap) pairs per tile such that the sums stay in registers.
constexpr int most_taps(int m) {
  if (kVectorRegisters == 32) return m == 4 ? 6 : m == 3 ? 8 : 9;
  return m >= 3 ? 3 : m == 2 ? 5 : 9;
}

template <int M, int K, typename V, typename T>
void accumulate_some(int64_t count, const Step<T>& step, int64_t m, const Tap* tap, V* acc, int64_t acc_row) {
  if constexpr (K > 1) {
    if (count < K) return accumulate_some<M, K - 1, V>(count, step, m, tap, acc, acc_row);
  }
  if constexpr (sizeof(V) == kVectorBytes) {
    if (step.bordered) return accumulate<M, K, true, V>(step, m, tap, acc, acc_row);
  }
  accumulate<M, K, false, V>(step, m, tap, acc, acc_row);
}

template <int M, typename V, typename T>
void accumulate_taps(const Step<T>& step, int64_t m, const Tap* tap, int64_t taps, V* acc) {
  constexpr int most = most_taps(M);
  const int64_t tiles = ceil_divide(taps, most);
  for (int64_t j = 0; j < tiles; ++j) {
    const int64_t k = taps * j / tiles, count = taps * (j + 1) / tiles - k;
    accumulate_some<M, most, V>(count, step, m, tap + k, acc + m * taps + k, taps);
  }
}

// All (o, c, tap) of the block, in register tiles.
template <typename V, typename T>
void accumulate_block(const Step<T>& step, int64_t channels, const Tap* tap, int64_t taps, V* acc) {
  const int64_t tiles = ceil_divide(channels, 4);
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t m = channels * i / tiles;
    switch (channels * (i + 1) / tiles - m) {
      case 4:
        accumulate_taps<4, V>(step, m, tap, taps, acc);
        break;
      case 3:
        accumulate_taps<3, V>(step, m, tap, taps, acc);
        break;
      case 2:
        accumulate_taps<2, V>(step, m, tap, taps, acc);
        break;
      default:
        accumulate_taps<1, V>(step, m, tap, taps, acc);
    }
  }
}

// A rectangle of a step's rows and vectors in which a tap stays inside, and what it reads for the first of them.
struct Rectangle {
  int64_t offset;
  int64_t row, rows, vector, vectors;
};

// acc[i * acc_o + k * acc_c] += sum over sets and the rectangle of y[o + i][pixel] * x[c + k][pixel + offset].
template <int M, int K, typename V, typename T>
__attribute__((noinline)) void accumulate_tap(const Step<T>& step, int64_t o, int64_t c, const Rectangle& r, V* acc,
                                              int64_t acc_o, int64_t acc_c) {
  using Unaligned = typename Lanes<T, sizeof(V)>::Unaligned;
  V sums[M][K];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) sums[i][k] = acc[i * acc_o + k * acc_c];
  }
  const int64_t x_channel = step.x_channel, y_channel = step.y_channel;
  for (int64_t set = 0; set < step.sets; ++set) {
    for (int64_t part = 0; part < step.parts; ++part) {
      const T* x_row = step.x + set * step.x_set + part * step.x_part + c * x_channel + r.row * step.x_row + r.offset;
      const T* y_row = step.y + set * step.y_set + part * step.x_part + o * y_channel + r.row * step.y_row;
      for (int64_t row = 0; row < r.rows; ++row, x_row += step.x_row, y_row += step.y_row) {
        const T *x = x_row + r.vector * step.x_vector, *y = y_row + r.vector * step.y_vector;
        for (int64_t p = 0; p < r.vectors; ++p, x += step.x_vector, y += step.y_vector) {
          V u[M];
#pragma GCC unroll 8
          for (int i = 0; i < M; ++i) u[i] = *reinterpret_cast<const Unaligned*>(y + i * y_channel);
#pragma GCC unroll 8
          for (int k = 0; k < K; ++k) {
            const V value = *reinterpret_cast<const Unaligned*>(x + k * x_channel);
#pragma GCC unroll 8
            for (int i = 0; i < M; ++i) sums[i][k] += u[i] * value;
          }
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) acc[i * acc_o + k * acc_c] = sums[i][k];
  }
}

template <int M, int K, typename V, typename T>
void accumulate_channels(int64_t o_count, int64_t c_count, const Step<T>& step, int64_t o, int64_t c,
                         const Rectangle* taps, int64_t tap_count, V* acc, int64_t acc_o) {
  if constexpr (M > 1) {
    if (o_count < M) return accumulate_channels<M - 1, K, V>(o_count, c_count, step, o, c, taps, tap_count, acc, acc_o);
  }
  if constexpr (K > 1) {
    if (c_count < K) return accumulate_channels<M, K - 1, V>(o_count, c_count, step, o, c, taps, tap_count, acc, acc_o);
  }
  acc += o * acc_o + c * tap_count;
  for (int64_t tap = 0; tap < tap_count; ++tap)
    accumulate_tap<M, K, V>(step, o, c, taps[tap], acc + tap, acc_o, tap_count);
}

// All (o, c, tap) of the block, one tap at a time.
template <typename V, typename T>
void accumulate_block_by_tap(const Step<T>& step, int64_t outputs, int64_t channels, const Rectangle* taps,
                             int64_t tap_count, V* acc) {
  const int64_t o_tiles = ceil_divide(outputs, kMostOutputs), c_tiles = ceil_divide(channels, kMostInputs);
  for (int64_t i = 0; i < o_tiles; ++i) {
    const int64_t o = outputs * i / o_tiles, o_count = outputs * (i + 1) / o_tiles - o;
    for (int64_t j = 0; j < c_tiles; ++j) {
      const int64_t c = channels * j / c_tiles, c_count = channels * (j + 1) / c_tiles - c;
      accumulate_channels<kMostOutputs, kMostInputs, V>(o_count, c_count, step, o, c, taps, tap_count, acc,
                                                        channels * tap_count);
    }
  }
}

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
