// conv2d and conv2d_input: direct convolutions with images in the SIMD lanes and zero borders around the planes.
//
// Both compute out[d][p] = sum over source channels s and taps t of w(d, s, t) * window[s][base(p) + offset(t)]. For
// conv2d every tap serves every pixel. For conv2d_input a pixel (r, c) of x takes the taps with
// (r + pad - k * dilation) divisible by the stride, so pixels fall into stride_h * stride_w classes, each with its
// taps. Pixels of one class in one row are a run: neighbours there are neighbours in the window.
//
// The window is a copy with zeros around it. Where a pixel's lanes fill whole vectors it is the planes themselves, or a
// copy of them that caches hold better: then rows whose taps reach outside take fewer taps, and so do the pixels at
// either end of a row.
#include "backend/cpu/kernels/conv.h"

#include "backend/cpu/kernels/lanes.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// Rows of equally many pixels that take the same taps. Offsets and steps are in elements, lanes included.
struct Runs {
  int64_t tap_begin, tap_end;
  int64_t rows, pixels;
  int64_t base, base_row, base_step;        // in the window: of the first pixel, from row to row, pixel to pixel
  int64_t target, target_row, target_step;  // in the output plane
  bool ends;                                // some taps lie outside at the first or last pixel of a row
};

// What a block looks up while it computes; lies in scratch.
struct Tables {
  int64_t* tap_offset;  // elements in the window, relative to a pixel's base
  int64_t* tap_weight;  // element of a (KH,KW) kernel
  int64_t* tap_ends;    // kFirst, kLast: outside at that pixel of every row
  Runs* runs;
  int64_t run_count;
  int32_t* position;  // of each source element in the window
};

static_assert(sizeof(Runs) == kRunsBytes);

// Rows that follow each other without a gap, here and in the output, are one long row.
void join_rows(Runs& runs) {
  if (runs.base_row != runs.pixels * runs.base_step || runs.target_row != runs.pixels * runs.target_step) return;
  runs.pixels *= runs.rows;
  runs.rows = 1;
}

// Destination pixels of a block that take the same taps, and what tap (0, 0) reads for the first of them.
struct PixelClass {
  int64_t rows, pixels;
  int64_t row, column, row_step, column_step;  // in the destination, from the block's first row
  int64_t source_row, source_column, source_row_step, source_column_step;
};

struct Classes {
  const Convolution& s;
  bool input;
  int64_t row_begin, rows;  // of the block
  int64_t count() const { return input ? s.stride_h * s.stride_w : 1; }
  PixelClass pixels(int64_t k) const;
  // Whether class k takes the tap, and how far from tap (0, 0) it reads.
  bool takes(int64_t k, int64_t tap, int64_t& down, int64_t& right) const;
};

PixelClass Classes::pixels(int64_t k) const {
  if (!input) return {rows, s.ow, 0, 0, 1, 1, row_begin * s.stride_h - s.pad_h, -s.pad_w, s.stride_h, s.stride_w};
  const int64_t i = k / s.stride_w, j = k % s.stride_w;
  // The first row and column of x in this class.
  const int64_t r = (i + s.stride_h - (row_begin + s.pad_h) % s.stride_h) % s.stride_h;
  const int64_t c = (j + s.stride_w - s.pad_w % s.stride_w) % s.stride_w;
  if (r >= rows || c >= s.w) return {};
  return {ceil_divide(rows - r, s.stride_h),      ceil_divide(s.w - c, s.stride_w), r, c, s.stride_h, s.stride_w,
          (row_begin + r + s.pad_h) / s.stride_h, (c + s.pad_w) / s.stride_w,       1, 1};
}

bool Classes::takes(int64_t k, int64_t tap, int64_t& down, int64_t& right) const {
  down = tap / s.kw * s.dilation_h;
  right = tap % s.kw * s.dilation_w;
  if (!input) return true;
  const bool takes = down % s.stride_h == k / s.stride_w && right % s.stride_w == k % s.stride_w;
  down = -(down / s.stride_h);
  right = -(right / s.stride_w);
  return takes;
}

// Runs over `rows` rows of a class from row `first` on; the source has its origin at (row, column) and rows of
// `columns`.
Runs find_runs(const PixelClass& c, int64_t first, int64_t rows, int64_t row, int64_t column, int64_t columns,
               int64_t out_columns, int64_t lanes) {
  Runs runs = {};
  runs.rows = rows;
  runs.pixels = c.pixels;
  runs.base = lanes * ((c.source_row + first * c.source_row_step - row) * columns + c.source_column - column);
  runs.base_row = lanes * c.source_row_step * columns;
  runs.base_step = lanes * c.source_column_step;
  runs.target = lanes * ((c.row + first * c.row_step) * out_columns + c.column);
  runs.target_row = lanes * c.row_step * out_columns;
  runs.target_step = lanes * c.column_step;
  return runs;
}

// For a window: a copy, or planes that no tap leaves.
void fill_window(Tables& t, const Classes& classes, const Window& window, int64_t out_columns, int64_t lanes) {
  const Convolution& s = classes.s;
  int64_t taps = 0;
  t.run_count = 0;
  for (int64_t k = 0; k < classes.count(); ++k) {
    const PixelClass c = classes.pixels(k);
    if (c.rows == 0) continue;
    Runs runs = find_runs(c, 0, c.rows, window.row, window.column, window.columns, out_columns, lanes);
    runs.tap_begin = taps;
    for (int64_t tap = 0, down, right; tap < s.taps(); ++tap) {
      if (!classes.takes(k, tap, down, right)) continue;
      t.tap_offset[taps] = lanes * (down * window.columns + right);
      t.tap_weight[taps++] = tap;
    }
    runs.tap_end = taps;
    join_rows(runs);
    t.runs[t.run_count++] = runs;
  }
}

// For planes (rows, columns) in memory from their row `origin` on. False where more than a row's first and last pixels
// have taps outside.
bool fill_planes(Tables& t, const Classes& classes, int64_t rows, int64_t columns, int64_t origin, int64_t out_columns,
                 int64_t lanes) {
  const Convolution& s = classes.s;
  int64_t taps = 0;
  t.run_count = 0;
  for (int64_t k = 0; k < classes.count(); ++k) {
    const PixelClass c = classes.pixels(k);
    const auto row_inside = [&](int64_t i, int64_t down) {
      const int64_t at = c.source_row + i * c.source_row_step + down;
      return at >= 0 && at < rows;
    };
    const auto column_inside = [&](int64_t j, int64_t right) {
      const int64_t at = c.source_column + j * c.source_column_step + right;
      return at >= 0 && at < columns;
    };
    for (int64_t first = 0, last; first < c.rows; first = last) {
      // All rows from `first` on that have the same taps.
      last = c.rows;
      Runs runs = {};
      const int64_t begin = taps;
      for (int64_t tap = 0, down, right; tap < s.taps(); ++tap) {
        if (!classes.takes(k, tap, down, right)) continue;
        const bool inside = row_inside(first, down);
        for (int64_t i = first + 1; i < last; ++i) {
          if (row_inside(i, down) != inside) last = i;
        }
        if (!inside) continue;
        if (c.pixels > 2 && !(column_inside(1, right) && column_inside(c.pixels - 2, right))) return false;
        const int64_t ends = (column_inside(0, right) ? 0 : kFirst) | (column_inside(c.pixels - 1, right) ? 0 : kLast);
        t.tap_offset[taps] = lanes * (down * columns + right);
        t.tap_weight[taps] = tap;
        t.tap_ends[taps++] = ends;
        runs.ends |= ends != 0;
      }
      const bool ends = runs.ends;
      runs = find_runs(c, first, last - first, origin, 0, columns, out_columns, lanes);
      runs.tap_begin = begin;
      runs.tap_end = taps;
      runs.ends = ends;
      if (!ends) join_rows(runs);
      t.runs[t.run_count++] = runs;
    }
  }
  return true;
}

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

// One block: images [image, image + images), one group, rows [row, row + rows), channels [channel, ...).
struct Block {
  int64_t image, images, group, row, rows, channel, channels;
};

Block find_block(const Convolution& s, const GatherPlan& p, int64_t index) {
  Block b;
  b.channel = index % p.channel_blocks * p.block_channels;
  b.channels = smaller(p.block_channels, p.channels - b.channel);
  index /= p.channel_blocks;
  b.row = index % p.row_blocks * p.block_rows;
  b.rows = smaller(p.block_rows, p.rows - b.row);
  index /= p.row_blocks;
  b.group = index % s.groups;
  b.image = index / s.groups * p.block_images;
  b.images = smaller(p.block_images, s.n - b.image);
  return b;
}

Window find_window(const Convolution& s, const GatherPlan& p, const Block& b) {
  return p.input ? input_window(s, b.row, b.row + b.rows) : forward_window(s, b.row, b.row + b.rows);
}

// Where a band's source lies: elements between source channels and between sets of lanes.
template <typename T>
struct Source {
  const T* data;
  int64_t plane, set;
};

// Operands with the lanes in memory: the output needs no detour. Bands of a block's rows are computed one by one; what
// they read is copied into scratch, if it has to be, so far as an earlier band has not copied it.
template <typename T>
struct LanesBlock {
  const Convolution& s;
  const GatherPlan& p;
  const Block& block;
  const T* source;  // of the block's first set and channel
  int64_t rows, columns, plane, set;
  T* scratch;
  int64_t copied_begin, copied_end;  // rows of the planes that scratch holds

  Source<T> find_source(const Block& band, Tables& t);
  Source<T> copy_rows(int64_t end);
  Source<T> copy_with_border(const Window& window);
};

template <typename T>
LanesBlock<T> begin_lanes_block(const Convolution& s, const GatherPlan& p, const Block& b, const T* source,
                                T* scratch) {
  const int64_t rows = p.input ? s.oh : s.h, columns = p.input ? s.ow : s.w;
  const int64_t plane = rows * columns * s.lanes, set = s.groups * p.sources * plane;
  source += b.image / s.lanes * set + b.group * p.sources * plane;
  const int64_t first = smaller(rows, larger(0, find_window(s, p, b).row));
  return {s, p, b, source, rows, columns, plane, set, scratch, first, first};
}

template <typename T>
Source<T> LanesBlock<T>::find_source(const Block& band, Tables& t) {
  const Classes classes = {s, p.input, band.row, band.rows};
  const Window window = find_window(s, p, band);
  const bool inside =
      window.column == 0 && window.columns == columns && window.row >= 0 && window.row + window.rows <= rows;
  if (inside) {
    fill_window(t, classes, window, p.columns, s.lanes);
    return {source + window.row * columns * s.lanes, plane, set};
  }
  const int64_t element = sizeof(T);
  if (s.lanes * element % kVectorBytes == 0) {
    const bool in_place = reads_planes(p.sources, plane * element);
    if (fill_planes(t, classes, rows, columns, in_place ? 0 : copied_begin, p.columns, s.lanes)) {
      return in_place ? Source<T>{source, plane, set} : copy_rows(smaller(rows, window.row + window.rows));
    }
  }
  fill_window(t, classes, window, p.columns, s.lanes);
  return copy_with_border(window);
}

// The planes' rows from copied_begin to `end`.
template <typename T>
Source<T> LanesBlock<T>::copy_rows(int64_t end) {
  const int64_t row = columns * s.lanes, copy = p.copied_plane / static_cast<int64_t>(sizeof(T));
  const int64_t sets = block.images / s.lanes;
  if (end > copied_end) {
    const int64_t bytes = (end - copied_end) * row * static_cast<int64_t>(sizeof(T));
    for (int64_t i = 0; i < sets; ++i) {
      for (int64_t c = 0; c < p.sources; ++c) {
        T* to = scratch + (i * p.sources + c) * copy + (copied_end - copied_begin) * row;
        __builtin_memcpy(to, source + i * set + c * plane + copied_end * row, bytes);
      }
    }
    copied_end = end;
  }
  return {scratch, copy, p.sources * copy};
}

template <typename T>
Source<T> LanesBlock<T>::copy_with_border(const Window& window) {
  const int64_t copy = window.rows * window.columns * s.lanes, sets = block.images / s.lanes;
  for (int64_t i = 0; i < sets; ++i) {
    for (int64_t c = 0; c < p.sources; ++c)
      copy_window(scratch + (i * p.sources + c) * copy, source + i * set + c * plane, window, rows, columns, s.lanes);
  }
  return {scratch, copy, p.sources * copy};
}

template <typename T>
void run_lanes_block(const Call& call, const Convolution& s, const GatherPlan& p, const Block& b, Tables& t,
                     Weights<T> w) {
  LanesBlock<T> block = begin_lanes_block<T>(s, p, b, static_cast<const T*>(call.pointers[p.input ? 2 : 1]),
                                             static_cast<T*>(call.scratch));
  const int64_t plane = p.rows * p.columns * s.lanes, set = s.groups * p.channels * plane;
  T* out = static_cast<T*>(call.pointers[0]) + b.image / s.lanes * set + (b.group * p.channels + b.channel) * plane;
  w.data += b.channel * w.destination;
  Block band = b;
  for (int64_t end = b.row + b.rows; band.row < end; band.row += band.rows) {
    band.rows = smaller(p.band_rows, end - band.row);
    const Source<T> source = block.find_source(band, t);
    const Tile<T> tile = {source.data, p.sources, source.plane, out + band.row * p.columns * s.lanes, plane};
    accumulate_channels<T>(b.channels, tile, w, t, s.lanes, b.images / s.lanes, source.set, set);
  }
}

// Plain operands: images are transposed into the lanes of a vector and back.
template <typename T, int Bytes>
void run_plain_block(const Call& call, const Convolution& s, const GatherPlan& p, const Block& b, Tables& t,
                     const Weights<T>& w) {
  using V = typename Lanes<T, Bytes>::Vector;
  constexpr int L = Lanes<T, Bytes>::count;
  const Window window = find_window(s, p, b);
  fill_window(t, {s, p.input, b.row, b.rows}, window, p.columns, L);
  V* window_data = static_cast<V*>(call.scratch);
  V* output = reinterpret_cast<V*>(static_cast<char*>(call.scratch) + p.window_bytes);
  const int64_t plane = window.rows * window.columns, pixels = b.rows * p.columns, sets = ceil_divide(b.images, L);

  const int64_t source_rows = p.input ? s.oh : s.h, source_columns = p.input ? s.ow : s.w;
  const int64_t source_plane = source_rows * source_columns, source_image = s.groups * p.sources * source_plane;
  const Covered covered = cover(window, source_rows, source_columns, t.position);
  if (covered.border) zero(window_data, sets * p.sources * plane * Bytes);
  const T* source = static_cast<const T*>(call.pointers[p.input ? 2 : 1]) + b.image * source_image +
                    b.group * p.sources * source_plane;
  for (int64_t set = 0; set < sets; ++set) {
    const Planes<const T> from = {
        source + set * L * source_image, source_image, source_plane, p.sources, covered.begin, covered.count};
    load_lanes<T, Bytes>(window_data + set * p.sources * plane, plane, from, smaller(L, b.images - set * L),
                         t.position);
  }

  const int64_t out_plane = p.rows * p.columns, out_image = s.groups * p.channels * out_plane;
  T* out = static_cast<T*>(call.pointers[0]) + b.image * out_image + b.group * p.channels * out_plane;
  for (int64_t d = b.channel; d < b.channel + b.channels; d += p.tile_channels) {
    const int64_t channels = smaller(p.tile_channels, b.channel + b.channels - d);
    accumulate_channels<T>(
        channels,
        {reinterpret_cast<const T*>(window_data), p.sources, plane * L, reinterpret_cast<T*>(output), pixels * L},
        {w.data + d * w.destination, w.destination, w.source}, t, L, sets, p.sources * plane * L,
        p.tile_channels * pixels * L);
    for (int64_t set = 0; set < sets; ++set) {
      const Planes<T> to = {
          out + set * L * out_image + d * out_plane, out_image, out_plane, channels, b.row * p.columns, pixels};
      store_lanes<T, Bytes>(output + set * p.tile_channels * pixels, to, smaller(L, b.images - set * L));
    }
  }
}

template <typename T>
void run_block(const Call& call, const Convolution& s, const GatherPlan& p, const Block& b) {
  const int64_t taps = gather_taps(s), runs = gather_runs(s, p.input);
  Tables t = {};
  t.tap_offset = reinterpret_cast<int64_t*>(static_cast<char*>(call.scratch) + p.window_bytes + p.output_bytes);
  t.tap_weight = t.tap_offset + taps;
  t.tap_ends = t.tap_weight + taps;
  t.runs = reinterpret_cast<Runs*>(t.tap_ends + taps);
  t.position = reinterpret_cast<int32_t*>(t.runs + runs);
  // (O,C/groups,KH,KW): kernels are dense, the rest lies as the launch says.
  const int64_t* strides = call.launch.operands[p.input ? 1 : 2].strides;
  const T* kernels = static_cast<const T*>(call.pointers[p.input ? 1 : 2]) + b.group * s.group_o() * strides[0];
  Weights<T> w = {kernels, strides[0], strides[1]};
  if (p.input) w = {kernels, strides[1], strides[0]};
  if (s.lanes > 0) return run_lanes_block<T>(call, s, p, b, t, w);
  if (b.images * static_cast<int64_t>(sizeof(T)) <= kHalfVectorBytes)
    return run_plain_block<T, kHalfVectorBytes>(call, s, p, b, t, w);
  run_plain_block<T, kVectorBytes>(call, s, p, b, t, w);
}

// Operands: conv2d y, x, w; conv2d_input x, w, y. All dense; x and y with the lanes in memory where the launch says so.
template <typename T>
void gather_convolution(const Call& call) {
  const Convolution s = read_convolution(call.launch);
  const GatherPlan p = plan_gather(call.launch, sizeof(T));
  for (int64_t i = call.begin; i < call.end; ++i) run_block<T>(call, s, p, find_block(s, p, i));
}

}  // namespace

void add_gather_convolutions(KernelTable& table) {
  enter<float>(table, LaunchCode::conv2d, gather_convolution<float>);
  enter<double>(table, LaunchCode::conv2d, gather_convolution<double>);
  enter<float>(table, LaunchCode::conv2d_input, gather_convolution<float>);
  enter<double>(table, LaunchCode::conv2d_input, gather_convolution<double>);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
