// Register tiles of conv2d and conv2d_input: sums for some channels, rows and vectors of pixels, over all source
// channels and taps.
#pragma once
#include "backend/cpu/kernels/conv_runs.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

template <typename T>
struct Weights {
  const T* data;
  int64_t destination, source;  // elements between channels
};
template <typename T>
struct Tile {
  const T* window;
  int64_t sources, window_plane;
  T* output;
  int64_t output_plane;
};

// How a tile's vectors lie: one after the other, here and in the output; or base_step and target_step apart. With ends,
// the first or the last of a row may have taps that lie outside.
enum class Walk { dense, strided, dense_ends, strided_ends };
constexpr bool is_strided(Walk walk) { return walk == Walk::strided || walk == Walk::strided_ends; }
constexpr bool has_ends(Walk walk) { return walk == Walk::dense_ends || walk == Walk::strided_ends; }
constexpr Walk without_ends(Walk walk) { return is_strided(walk) ? Walk::strided : Walk::dense; }

// M destination channels by R rows of P vectors, held in registers. `ends`: which ends of the rows are in the tile.
template <int M, int R, int P, Walk walk, typename V, typename T>
__attribute__((noinline)) void accumulate(const Tile<T>& tile, const Weights<T>& w, const Tables& t, const Runs& runs,
                                          int64_t base, int64_t target, [[maybe_unused]] int64_t ends) {
  constexpr bool Strided = is_strided(walk);
  using Unaligned = typename Lanes<T, sizeof(V)>::Unaligned;
  constexpr int64_t E = sizeof(V) / sizeof(T);
  const int64_t step = Strided ? runs.base_step : E, row = runs.base_row;
  V sums[M][R][P] = {};
  const T* source_weights = w.data;
  const T* plane = tile.window + base;
  const int64_t destination = w.destination;
  for (int64_t s = 0; s < tile.sources; ++s) {
    for (int64_t k = runs.tap_begin; k < runs.tap_end; ++k) {
      const T* x = plane + t.tap_offset[k];
      const T* tap = source_weights + t.tap_weight[k];
      T factor[M];
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) factor[m] = tap[m * destination];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int i = 0; i < P; ++i) {
          if constexpr (has_ends(walk)) {
            const int64_t here = (i == 0 ? kFirst : 0) | (i == P - 1 ? kLast : 0);
            if (here != 0 && (t.tap_ends[k] & ends & here) != 0) continue;
          }
          const V value = *reinterpret_cast<const Unaligned*>(x + r * row + i * step);
#pragma GCC unroll 8
          for (int m = 0; m < M; ++m) sums[m][r][i] += value * factor[m];
        }
      }
    }
    source_weights += w.source;
    plane += tile.window_plane;
  }
  const int64_t target_step = Strided ? runs.target_step : E;
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int i = 0; i < P; ++i) {
        T* to = tile.output + m * tile.output_plane + target + r * runs.target_row + i * target_step;
        *reinterpret_cast<Unaligned*>(to) = sums[m][r][i];
      }
    }
  }
}

// Most vectors per tile such that sums, weights and a few sources stay in registers.
constexpr int most_vectors(int m) {
  const int fit = (kVectorRegisters - 2 - m) / m;
  return fit < 1 ? 1 : fit > 8 ? 8 : fit;
}

template <int M, int R, int P, Walk walk, typename V, typename T>
void accumulate_some(int64_t count, const Tile<T>& tile, const Weights<T>& w, const Tables& t, const Runs& runs,
                     int64_t base, int64_t target, int64_t ends) {
  if constexpr (P > 1) {
    if (count < P) return accumulate_some<M, R, P - 1, walk, V>(count, tile, w, t, runs, base, target, ends);
  }
  accumulate<M, R, P, walk, V>(tile, w, t, runs, base, target, ends);
}

// All vectors of one run's rows for M channels, in tiles of nearly equal size; short rows are taken R at a time.
template <int M, int R, Walk walk, typename V, typename T>
void accumulate_rows(const Tile<T>& tile, const Weights<T>& w, const Tables& t, const Runs& runs, int64_t vectors,
                     int64_t first, int64_t count, int64_t lane) {
  constexpr int most = most_vectors(M) / R;
  constexpr int64_t E = sizeof(V) / sizeof(T);
  const int64_t tiles = ceil_divide(vectors, most);
  const int64_t step = is_strided(walk) ? runs.base_step : E, target_step = is_strided(walk) ? runs.target_step : E;
  for (int64_t row = first; row < first + count; row += R) {
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t begin = vectors * i / tiles, end = vectors * (i + 1) / tiles;
      const int64_t base = runs.base + row * runs.base_row + begin * step + lane;
      const int64_t target = runs.target + row * runs.target_row + begin * target_step + lane;
      const int64_t ends = (begin == 0 ? kFirst : 0) | (end == vectors ? kLast : 0);
      if (ends == 0) {
        accumulate_some<M, R, most, without_ends(walk), V>(end - begin, tile, w, t, runs, base, target, ends);
      } else {
        accumulate_some<M, R, most, walk, V>(end - begin, tile, w, t, runs, base, target, ends);
      }
    }
  }
}

template <int M, Walk walk, typename V, typename T>
void accumulate_run(const Tile<T>& tile, const Weights<T>& w, const Tables& t, const Runs& runs, int64_t vectors,
                    int64_t lane) {
  constexpr int most = most_vectors(M);
  int64_t row = 0;
  if constexpr (most >= 2) {
    if (vectors <= most / 2) {
      row = runs.rows / 2 * 2;
      accumulate_rows<M, 2, walk, V>(tile, w, t, runs, vectors, 0, row, lane);
    }
  }
  accumulate_rows<M, 1, walk, V>(tile, w, t, runs, vectors, row, runs.rows - row, lane);
}

// Vectors over the lanes of neighbouring pixels where these follow each other, else over the lanes of one pixel.
template <int M, typename T>
void accumulate_runs(const Tile<T>& tile, const Weights<T>& w, const Tables& t, int64_t lanes) {
  using Full = typename Lanes<T, kVectorBytes>::Vector;
  using Half = typename Lanes<T, kHalfVectorBytes>::Vector;
  constexpr int64_t full = Lanes<T, kVectorBytes>::count, half = Lanes<T, kHalfVectorBytes>::count;
  for (int64_t k = 0; k < t.run_count; ++k) {
    const Runs& runs = t.runs[k];
    const int64_t elements = runs.pixels * lanes;
    const bool dense = runs.base_step == lanes && runs.target_step == lanes;
    if (runs.ends && dense && lanes == full) {
      accumulate_run<M, Walk::dense_ends, Full>(tile, w, t, runs, runs.pixels, 0);
    } else if (runs.ends) {
      for (int64_t lane = 0; lane < lanes; lane += full)
        accumulate_run<M, Walk::strided_ends, Full>(tile, w, t, runs, runs.pixels, lane);
    } else if (dense && elements % full == 0) {
      accumulate_run<M, Walk::dense, Full>(tile, w, t, runs, elements / full, 0);
    } else if (dense) {
      accumulate_run<M, Walk::dense, Half>(tile, w, t, runs, elements / half, 0);
    } else if (lanes % full == 0) {
      for (int64_t lane = 0; lane < lanes; lane += full)
        accumulate_run<M, Walk::strided, Full>(tile, w, t, runs, runs.pixels, lane);
    } else {
      for (int64_t lane = 0; lane < lanes; lane += half)
        accumulate_run<M, Walk::strided, Half>(tile, w, t, runs, runs.pixels, lane);
    }
  }
}

template <int M, typename T>
void accumulate_some_channels(int64_t count, const Tile<T>& tile, const Weights<T>& w, const Tables& t, int64_t lanes) {
  if constexpr (M > 1) {
    if (count < M) return accumulate_some_channels<M - 1>(count, tile, w, t, lanes);
  }
  accumulate_runs<M>(tile, w, t, lanes);
}

// `window_set` and `output_set`: elements from one set of lanes to the next.
template <typename T>
void accumulate_channels(int64_t channels, Tile<T> tile, Weights<T> w, const Tables& t, int64_t lanes, int64_t sets,
                         int64_t window_set, int64_t output_set) {
  const int64_t tiles = ceil_divide(channels, kMostChannels);
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t count = channels * (i + 1) / tiles - channels * i / tiles;
    for (int64_t set = 0; set < sets; ++set) {
      Tile<T> part = tile;
      part.window += set * window_set;
      part.output += set * output_set;
      accumulate_some_channels<kMostChannels>(count, part, w, t, lanes);
    }
    tile.output += count * tile.output_plane;
    w.data += count * w.destination;
  }
}

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
