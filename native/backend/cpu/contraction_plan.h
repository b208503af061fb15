// Contraction plans: how matmul and the three convolutions are cut into blocks and what scratch one block needs, from
// shapes alone. Shared by cut.cpp and the kernels, so everything here has internal linkage.
#pragma once
#include "backend/cpu/block_sizes.h"
#include "backend/cpu/tuning.h"
#include "backend/launch.h"

namespace ptmz::cpu {

constexpr int64_t kCacheLine = 64;
constexpr int64_t kBlockWindowBytes = 2 << 20;  // input that a block copies in the end
constexpr int64_t kOutputBytes = 128 * 1024;    // output that it collects before writing it
constexpr double kBlockWork = 2e6;              // floating-point operations that are worth a block
constexpr double kTinyWork = 1e5;               // below this one block is enough

static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t round_up(int64_t a, int64_t unit) { return ceil_divide(a, unit) * unit; }
static inline int64_t floor_divide(int64_t a, int64_t b) { return a >= 0 ? a / b : -ceil_divide(-a, b); }

// Bytes from one plane to the next such that many planes do not fall on the same few lines of a cache: long ones begin
// at different multiples of 2 KB.
static inline int64_t spread(int64_t bytes) {
  constexpr int64_t step = 2048;
  return bytes < 2 * step ? bytes : (ceil_divide(bytes, step) | 1) * step;
}

// Blocks that a launch of this much work should have, so that several threads can share it.
static inline int64_t wanted_blocks(double work) {
  if (work < kTinyWork) return 1;
  return larger(2, smaller(16, static_cast<int64_t>(work / kBlockWork)));
}

// x (N,C,H,W), w (O,C/groups,KH,KW), y (N,O,OH,OW), as a launch of conv2d, conv2d_input or conv2d_weight states them.
struct Convolution {
  int64_t n, c, h, w, o, oh, ow;  // n: with the lanes that have no image
  int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, kh, kw;
  int64_t parts;  // partial results of conv2d_weight
  int64_t lanes;  // images per set in [sets][C][H][W][lanes], the layout of x and y; 0: they are plain
  int64_t tail;   // images of the last set if it is not full, else 0
  int64_t group_c() const { return c / groups; }
  int64_t group_o() const { return o / groups; }
  int64_t taps() const { return kh * kw; }
  double work() const { return 2.0 * n * o * oh * ow * group_c() * taps(); }
};

static inline Convolution read_convolution(const Launch& launch) {
  const int64_t *s = launch.shape, *i = launch.ints, lanes = i[kLanesInt];
  return {lanes > 0 ? round_up(s[0], lanes) : s[0],
          s[1],
          s[2],
          s[3],
          s[4],
          s[5],
          s[6],
          i[0],
          i[1],
          i[2],
          i[3],
          i[4],
          i[5],
          i[6],
          i[9],
          i[10],
          larger(1, i[kPartsInt]),
          lanes,
          lanes > 0 ? s[0] % lanes : 0};
}

// The part of a source plane that a band of rows needs, with its zero border. Columns always cover the whole plane.
struct Window {
  int64_t row, column;  // plane coordinates of the window's origin; may be negative
  int64_t rows, columns;
};

// Window on x for the rows [begin, end) of y.
static inline Window forward_window(const Convolution& s, int64_t begin, int64_t end) {
  const int64_t last_column = (s.ow - 1) * s.stride_w - s.pad_w + s.dilation_w * (s.kw - 1);
  return {begin * s.stride_h - s.pad_h, -s.pad_w, (end - begin - 1) * s.stride_h + s.dilation_h * (s.kh - 1) + 1,
          larger(s.w, last_column + 1) + s.pad_w};
}

// Window on y for the rows [begin, end) of x.
static inline Window input_window(const Convolution& s, int64_t begin, int64_t end) {
  const int64_t row = floor_divide(begin + s.pad_h - s.dilation_h * (s.kh - 1), s.stride_h);
  const int64_t column = smaller(0, floor_divide(s.pad_w - s.dilation_w * (s.kw - 1), s.stride_w));
  return {row, column, (end - 1 + s.pad_h) / s.stride_h + 1 - row,
          larger(s.ow, (s.w - 1 + s.pad_w) / s.stride_w + 1) - column};
}

// Most rows that a window on `rows` consecutive rows can have, wherever it begins.
static inline int64_t window_rows(const Convolution& s, bool input, int64_t rows) {
  const int64_t reach = s.dilation_h * (s.kh - 1);
  return input ? (rows - 1 + reach) / s.stride_h + 2 : (rows - 1) * s.stride_h + reach + 1;
}

// conv2d (source x, destination y) and conv2d_input (source y, destination x) are one algorithm: a block computes
// some rows and channels of the destination for some images, which lie in the SIMD lanes.
struct GatherPlan {
  bool input;
  int64_t sources, channels, rows, columns;  // of one group: source channels, destination channels and plane
  int64_t block_images, block_rows, block_channels;
  int64_t band_rows;      // computed together, so that what they read fits the cache
  int64_t copied_plane;   // bytes from one plane to the next in a copy without borders
  int64_t tile_channels;  // computed before they are written out
  int64_t image_blocks, row_blocks, channel_blocks;
  int64_t window_positions;  // of one source channel
  int64_t window_bytes, output_bytes;
  int64_t blocks, scratch_bytes;
};
constexpr int64_t kRunsBytes = 88;  // one entry of the kernel's table of runs

// Each tap begins and ends to reach into the planes at some row, so this many groups of rows can differ in their taps.
static inline int64_t row_groups(const Convolution& s) { return 2 * s.kh + 1; }
static inline int64_t gather_taps(const Convolution& s) { return row_groups(s) * s.taps(); }
static inline int64_t gather_runs(const Convolution& s, bool input) {
  return row_groups(s) * (input ? s.stride_h * s.stride_w : 1);
}

// Images that are worked on together; small planes take more, so that the inner loops have enough to do.
static inline int64_t images_together(int64_t images, int64_t positions, int64_t enough) {
  if (images <= 8) return 8;
  return smaller(16 * smaller(4, larger(1, enough / larger(positions, 1))), round_up(images, 16));
}

static inline GatherPlan plan_gather(const Launch& launch, int64_t element_bytes) {
  const Convolution s = read_convolution(launch);
  GatherPlan p = {};
  p.input = launch.code == LaunchCode::conv2d_input;
  p.sources = p.input ? s.group_o() : s.group_c();
  p.channels = p.input ? s.group_c() : s.group_o();
  p.rows = p.input ? s.h : s.oh;
  p.columns = p.input ? s.w : s.ow;
  if (s.n * p.channels * p.rows * p.columns == 0) return p;
  p.block_images = images_together(s.n, p.rows * p.columns, 8);
  p.image_blocks = ceil_divide(s.n, p.block_images);
  const int64_t lane_bytes = p.block_images * element_bytes;
  const int64_t window_columns = (p.input ? input_window(s, 0, 1) : forward_window(s, 0, 1)).columns;
  const int64_t row_bytes = larger(1, p.sources * window_columns * lane_bytes);

  // Bands of rows: as many as the cache asks for. Blocks of bands: as few as scratch holds, since neighbouring bands
  // read some of the same rows, then more while threads would lack work.
  const auto most_rows = [&](int64_t bytes) {
    int64_t rows = p.rows;
    while (rows > 1 && window_rows(s, p.input, rows) * row_bytes > bytes) --rows;
    return rows;
  };
  p.band_rows = most_rows(kWindowBytes);
  p.row_blocks = ceil_divide(p.rows, s.lanes > 0 ? most_rows(kBlockWindowBytes) : p.band_rows);
  const int64_t wanted = wanted_blocks(s.work()), others = p.image_blocks * s.groups;
  p.row_blocks = larger(p.row_blocks, smaller(ceil_divide(wanted, others), p.rows / 2));
  p.block_rows = ceil_divide(p.rows, p.row_blocks);
  p.row_blocks = ceil_divide(p.rows, p.block_rows);
  p.band_rows = ceil_divide(p.block_rows, ceil_divide(p.block_rows, p.band_rows));
  p.channel_blocks = larger(1, smaller(ceil_divide(wanted, others * p.row_blocks), p.channels / 4));
  p.block_channels = ceil_divide(p.channels, p.channel_blocks);
  p.channel_blocks = ceil_divide(p.channels, p.block_channels);

  const int64_t positions = p.block_rows * p.columns;
  p.tile_channels = smaller(p.block_channels, larger(4, kOutputBytes / (positions * lane_bytes) / 4 * 4));
  p.window_positions = window_rows(s, p.input, p.block_rows) * window_columns;
  p.copied_plane = spread(p.window_positions * s.lanes * element_bytes);
  p.window_bytes = round_up(p.sources * p.window_positions * lane_bytes, kCacheLine);
  if (s.lanes > 0) p.window_bytes = larger(p.window_bytes, p.block_images / s.lanes * p.sources * p.copied_plane);
  p.output_bytes = p.tile_channels * positions * lane_bytes + 16 * kCacheLine;  // a transpose may read past the end
  p.output_bytes = round_up(p.output_bytes, kCacheLine);
  p.blocks = others * p.row_blocks * p.channel_blocks;
  p.scratch_bytes = p.window_bytes + p.output_bytes + 24 * gather_taps(s) + kRunsBytes * gather_runs(s, p.input) +
                    4 * round_up(p.window_positions, 2);
  return p;
}

constexpr int64_t kTileInputs = 4, kTileOutputs = 6;  // channels of x and of y in a register tile for one tap
constexpr int64_t kTapBytes = 40;                     // one entry of the tables of taps

// conv2d_weight: a block owns some (o, c) pairs of one group and walks over the images of one part in order.
struct WeightPlan {
  int64_t part_images;
  int64_t block_o, block_c, o_blocks, c_blocks;
  int64_t step_images, step_rows;  // of y, worked on at a time
  bool by_tap;                     // register tiles hold channels by channels for one tap, else channels by pairs
  int64_t window_positions;
  int64_t window_bytes, output_bytes, accumulator_bytes;
  int64_t blocks, scratch_bytes;
};

// Cuts the (o, c) pairs until a block's sums fit the cache and there are `wanted` blocks.
static inline void cut_pairs(const Convolution& s, int64_t wanted, WeightPlan& p) {
  int64_t o = s.group_o(), c = s.group_c();
  for (;;) {
    const int64_t blocks = s.groups * ceil_divide(s.group_o(), o) * ceil_divide(s.group_c(), c);
    const bool large = o * c * s.taps() * kCacheLine > kAccumulatorBytes;
    if (!large && blocks >= wanted) break;
    if (c > 1 && (c >= o || o <= 4)) {
      c = ceil_divide(c, 2);
    } else if (o > 4 || (o > 1 && large)) {
      o = ceil_divide(o, 2);
    } else {
      break;
    }
  }
  p.block_o = o;
  p.block_c = c;
  p.o_blocks = ceil_divide(s.group_o(), o);
  p.c_blocks = ceil_divide(s.group_c(), c);
  p.blocks = s.groups * p.o_blocks * p.c_blocks;
}

constexpr int64_t kPartImages = 16;    // of which a part has a multiple
constexpr int64_t kPartPixels = 2048;  // that are worth the sums of a part

// Every block of pairs reads all of x or y or both, so where there are images enough the threads share these instead.
static inline int64_t weight_parts(const Convolution& s) {
  if (s.group_o() * s.group_c() * s.taps() * s.n == 0) return 1;
  WeightPlan p = {};
  cut_pairs(s, 1, p);
  const int64_t worth = smaller(ceil_divide(s.n, kPartImages), s.n * s.oh * s.ow / kPartPixels);
  const int64_t most = larger(1, smaller(worth, ceil_divide(wanted_blocks(s.work()), p.blocks)));
  const int64_t images = round_up(ceil_divide(s.n, most), kPartImages);
  return ceil_divide(s.n, images);
}

static inline WeightPlan plan_weight(const Launch& launch, int64_t element_bytes) {
  const Convolution s = read_convolution(launch);
  WeightPlan p = {};
  if (s.group_o() * s.group_c() * s.taps() == 0) return p;
  const int64_t wanted = wanted_blocks(s.work());
  cut_pairs(s, s.parts == 1 ? wanted : ceil_divide(wanted, 2 * s.parts), p);
  p.part_images = s.parts == 1 ? s.n : round_up(ceil_divide(s.n, s.parts), kPartImages);
  p.blocks *= s.parts;
  const int64_t o = p.block_o, c = p.block_c;
  p.accumulator_bytes = (o * c * s.taps() + 16) * kCacheLine;  // adding the lanes may read past the end
  p.step_images = images_together(smaller(s.n, p.part_images), s.oh * s.ow, 64);
  const int64_t lane_bytes = p.step_images * element_bytes;
  const int64_t window_columns = forward_window(s, 0, 1).columns;
  p.step_rows = larger(1, s.oh);
  p.by_tap = s.lanes * element_bytes % kCacheLine == 0 && s.lanes > 0 && o >= kTileInputs && c >= kTileInputs;
  const auto bytes = [&](int64_t inputs, int64_t outputs) {
    const int64_t x = window_rows(s, false, p.step_rows) * window_columns, y = p.step_rows * s.ow;
    return (inputs * x + outputs * y) * lane_bytes;
  };
  const auto fits = [&] {
    return bytes(c, o) <= kWindowBytes && (!p.by_tap || bytes(kTileInputs, kTileOutputs) <= kTileBytes);
  };
  while (p.step_rows > 1 && !fits()) --p.step_rows;
  p.step_rows = ceil_divide(larger(1, s.oh), ceil_divide(larger(1, s.oh), p.step_rows));
  p.window_positions = window_rows(s, false, p.step_rows) * window_columns;
  p.window_bytes = round_up(c * p.window_positions * lane_bytes, kCacheLine);
  p.output_bytes = round_up(o * p.step_rows * s.ow * lane_bytes, kCacheLine);
  p.scratch_bytes = p.window_bytes + p.output_bytes + p.accumulator_bytes + kTapBytes * c * s.taps() +
                    4 * round_up(p.window_positions + p.step_rows * s.ow, 2);
  return p;
}

// matmul: out[b][m][n] = sum over k of a[b][m][k] * b[b][k][n]. A block computes either several small products of the
// batch or one tile of one product.
struct MatmulPlan {
  int batch_rank;
  int64_t batch, m, n, k;
  int64_t block_batch, tile_m, tile_n;
  int64_t m_tiles, n_tiles;
  int64_t blocks;
};

// Floating-point operations below which a product stays one block: cut in two it packs one factor twice, and launches
// of this size are seldom shared between threads (executor.cpp).
constexpr double kSmallProduct = 1e6;

// `other`: elements of the operand that every tile reads again and packs anew; what is far beyond the caches has to be
// worth it.
static inline int64_t matmul_tile(int64_t size, int64_t tiles, int64_t other) {
  const int64_t worth = other > 1 << 22 ? 256 : other > 1 << 18 ? 128 : 64;
  const int64_t least = smaller(worth, ceil_divide(size, 2));
  return smaller(size, larger(round_up(ceil_divide(size, tiles), 16), least));
}

// Products up to this many multiply-adds, or with so few columns that a vector of them would be mostly empty, are a
// plain loop.
constexpr int64_t kTinyProduct = 256, kFewColumns = 2;

// Panels of gemm.h: slices of a (96 x 384 elements) and b (384 x 32 vectors of 64 bytes).
constexpr int64_t kGemmScratch = 384 * (96 * 8 + 32 * 64);

static inline MatmulPlan plan_matmul(const Launch& launch) {
  MatmulPlan p = {};
  p.batch_rank = launch.rank - 3;
  const int64_t* shape = launch.shape + p.batch_rank;
  p.batch = product(launch.shape, 0, p.batch_rank);
  p.m = shape[0];
  p.n = shape[1];
  p.k = shape[2];
  if (p.batch * p.m * p.n == 0) return p;
  const double work = 2.0 * p.m * p.n * larger(p.k, 1);
  const int64_t wanted = work * p.batch < kSmallProduct ? 1 : wanted_blocks(work * p.batch);
  const int64_t tiles = ceil_divide(wanted, p.batch);
  p.tile_m = p.m >= p.n ? matmul_tile(p.m, tiles, p.n * p.k) : p.m;
  p.tile_n = p.m >= p.n ? p.n : matmul_tile(p.n, tiles, p.m * p.k);
  p.m_tiles = ceil_divide(p.m, p.tile_m);
  p.n_tiles = ceil_divide(p.n, p.tile_n);
  p.block_batch = 1;
  if (tiles == 1) p.block_batch = larger(1, smaller(p.batch / wanted, static_cast<int64_t>(kBlockWork / work)));
  p.blocks = ceil_divide(p.batch, p.block_batch) * p.m_tiles * p.n_tiles;
  return p;
}

// attention: scores of a block of queries against all keys, in rows of whole cache lines.
static inline int64_t score_row(const Launch& launch) { return round_up(launch.shape[2], 16); }
static inline int64_t attention_table(const Launch& launch) { return attention_rows(launch) * score_row(launch); }

}  // namespace ptmz::cpu
