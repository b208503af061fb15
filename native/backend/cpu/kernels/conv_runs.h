// Runs of conv2d and conv2d_input: which pixels of a block take which taps, and where these read.
//
// For conv2d every tap serves every pixel. For conv2d_input a pixel (r, c) of x takes the taps with
// (r + pad - k * dilation) divisible by the stride, so pixels fall into stride_h * stride_w classes, each with its
// taps. Pixels of one class in one row are a run: neighbours there are neighbours in the window.
#pragma once
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

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
