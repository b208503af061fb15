// conv2d_weight: dw[o][c][t] = sum over images and pixels of y[o][pixel] * x[c][base(pixel) + offset(t)], with images
// in the SIMD lanes. A block owns some (o, c) pairs and adds up the images of one part in order; a launch that follows
// adds the parts, so that sums never depend on threads.
#include "backend/cpu/kernels/conv.h"
#include "backend/cpu/kernels/lanes.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

static_assert(kTapBytes == 4 * sizeof(int64_t));

// x and y for some images and rows. Sets are groups of images that fill the lanes; a vector is one pixel's lanes or a
// part of them, or the lanes of neighbouring pixels. All distances are in elements.
template <typename T>
struct Step {
  const T *x, *y;
  int64_t x_set, y_set, sets;
  int64_t x_part, parts;  // parts of a pixel's lanes, where a vector holds less than all of them
  int64_t x_row, y_row, rows;
  int64_t x_vector, y_vector, vectors;
  int64_t y_channel;
  bool bordered;   // x is the planes themselves: some taps leave them
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

// One block, and the places of its parts in scratch.
struct Block {
  int64_t part, group, o, o_count, c, c_count;
  char *x, *y, *acc;
  Tap* tap;
  int32_t *y_position, *x_position;
};

Block find_block(const Call& call, const Convolution& s, const WeightPlan& p, int64_t index) {
  Block b;
  b.c = index % p.c_blocks * p.block_c;
  b.c_count = smaller(p.block_c, s.group_c() - b.c);
  index /= p.c_blocks;
  b.o = index % p.o_blocks * p.block_o;
  b.o_count = smaller(p.block_o, s.group_o() - b.o);
  index /= p.o_blocks;
  b.group = index % s.groups;
  b.part = index / s.groups;
  b.x = static_cast<char*>(call.scratch);
  b.y = b.x + p.window_bytes;
  b.acc = b.y + p.output_bytes;
  b.tap = reinterpret_cast<Tap*>(b.acc + p.accumulator_bytes);
  b.y_position = reinterpret_cast<int32_t*>(b.tap + p.block_c * s.taps());
  b.x_position = b.y_position + p.step_rows * s.ow;
  return b;
}

// Elements between channels of x, and between its rows.
struct Strides {
  int64_t plane, row;
};

// x and y of some images and rows from plain planes: transposed into the lanes of scratch.
template <typename T, int Bytes>
Strides load_plain(const Call& call, const Convolution& s, const Block& b, const Window& window, int64_t image,
                   int64_t images, int64_t row, int64_t rows, Step<T>& step) {
  using V = typename Lanes<T, Bytes>::Vector;
  constexpr int L = Lanes<T, Bytes>::count;
  const int64_t x_plane = s.h * s.w, y_plane = s.oh * s.ow, plane = window.rows * window.columns, pixels = rows * s.ow;
  const T* x_data = static_cast<const T*>(call.pointers[1]) + (b.group * s.group_c() + b.c) * x_plane;
  const T* y_data = static_cast<const T*>(call.pointers[2]) + (b.group * s.group_o() + b.o) * y_plane;
  V *x = reinterpret_cast<V*>(b.x), *y = reinterpret_cast<V*>(b.y);
  const Covered covered = cover(window, s.h, s.w, b.x_position);
  const int64_t sets = ceil_divide(images, L);
  if (covered.border) zero(x, sets * b.c_count * plane * Bytes);
  for (int64_t i = 0; i < pixels; ++i) b.y_position[i] = static_cast<int32_t>(i);
  for (int64_t set = 0; set < sets; ++set) {
    const int64_t first = image + set * L, live = smaller(L, image + images - first);
    const Planes<const T> from_x = {
        x_data + first * s.c * x_plane, s.c * x_plane, x_plane, b.c_count, covered.begin, covered.count};
    load_lanes<T, Bytes>(x + set * b.c_count * plane, plane, from_x, live, b.x_position);
    const Planes<const T> from_y = {
        y_data + first * s.o * y_plane, s.o * y_plane, y_plane, b.o_count, row * s.ow, pixels};
    load_lanes<T, Bytes>(y + set * b.o_count * pixels, pixels, from_y, live, b.y_position);
  }
  step.x = reinterpret_cast<const T*>(x);
  step.x_set = b.c_count * plane * L;
  step.y = reinterpret_cast<const T*>(y);
  step.y_set = b.o_count * pixels * L;
  step.y_channel = pixels * L;
  step.sets = sets;
  step.bordered = false;
  return {plane * L, window.columns * L};
}

// Whether only the first and last pixels of a row have taps left and right of the plane.
bool leaves_at_ends(const Convolution& s) {
  if (s.ow <= 2) return true;
  const int64_t last = (s.ow - 2) * s.stride_w - s.pad_w + s.dilation_w * (s.kw - 1);
  return s.stride_w >= s.pad_w && last < s.w;
}

// The same where the lanes are in memory: y is used where it lies, x too if no tap needs a border, or if it can do
// without. Returns the elements between channels of x, and those of its rows.
template <typename T>
Strides find_lanes(const Call& call, const Convolution& s, const Block& b, const Window& window, int64_t image,
                   int64_t images, int64_t row, Step<T>& step) {
  const int64_t x_plane = s.h * s.w * s.lanes, y_plane = s.oh * s.ow * s.lanes;
  const T* x = static_cast<const T*>(call.pointers[1]) + image / s.lanes * s.c * x_plane +
               (b.group * s.group_c() + b.c) * x_plane;
  step.y = static_cast<const T*>(call.pointers[2]) + image / s.lanes * s.o * y_plane +
           (b.group * s.group_o() + b.o) * y_plane + row * s.ow * s.lanes;
  step.y_set = s.o * y_plane;
  step.y_channel = y_plane;
  step.sets = images / s.lanes;
  const bool inside = window.column == 0 && window.columns == s.w && window.row >= 0 && window.row + window.rows <= s.h;
  const int64_t pixel_bytes = s.lanes * static_cast<int64_t>(sizeof(T));
  step.bordered = !inside && pixel_bytes % kVectorBytes == 0 && leaves_at_ends(s) &&
                  reads_planes(b.c_count, x_plane * static_cast<int64_t>(sizeof(T)));
  if (inside || step.bordered) {
    step.x = x + (window.row * s.w + window.column) * s.lanes;
    step.x_set = s.c * x_plane;
    step.zeros = reinterpret_cast<const T*>(b.x);
    if (step.bordered) zero(b.x, window.columns * pixel_bytes);
    return {x_plane, s.w * s.lanes};
  }
  const int64_t plane = window.rows * window.columns * s.lanes;
  T* scratch = reinterpret_cast<T*>(b.x);
  for (int64_t set = 0; set < step.sets; ++set) {
    for (int64_t c = 0; c < b.c_count; ++c)
      copy_window(scratch + (set * b.c_count + c) * plane, x + set * s.c * x_plane + c * x_plane, window, s.h, s.w,
                  s.lanes);
  }
  step.x = scratch;
  step.x_set = b.c_count * plane;
  return {plane, window.columns * s.lanes};
}

// How vectors of `count` elements walk over rows of `lanes`-wide pixels.
template <typename T>
void set_walk(Step<T>& step, const Convolution& s, int64_t rows, int64_t lanes, int64_t count) {
  step.rows = rows;
  step.y_row = s.ow * lanes;
  if (s.stride_w == 1 && !step.bordered) {
    step.x_vector = step.y_vector = count;
    step.vectors = s.ow * lanes / count;
    step.parts = 1;
    step.x_part = 0;
    if (step.x_row == step.y_row) {
      step.vectors *= rows;
      step.rows = 1;
    }
  } else {
    step.x_vector = s.stride_w * lanes;
    step.y_vector = lanes;
    step.vectors = s.ow;
    step.parts = lanes / count;
    step.x_part = count;
  }
}

// Tap `tap` of channel c of the block. The window's origin is what tap (0, 0) reads for the first pixel of the step.
Tap find_tap(const Convolution& s, int64_t tap, const Window& window, int64_t lanes, const Strides& x, int64_t c) {
  const int64_t down = tap / s.kw * s.dilation_h, right = tap % s.kw * s.dilation_w;
  const int64_t row = window.row + down, column = window.column + right;
  Tap result = {c * x.plane + down * x.row + lanes * right, 0, 0, 0};
  result.row_begin = row >= 0 ? 0 : ceil_divide(-row, s.stride_h);
  result.row_end = row >= s.h ? 0 : ceil_divide(s.h - row, s.stride_h);
  const int64_t last = column + (s.ow - 1) * s.stride_w;
  if (column < 0 || column >= s.w) result.ends |= kFirst;
  if (last < 0 || last >= s.w) result.ends |= kLast;
  return result;
}

template <typename T, int Bytes>
void run_block(const Call& call, const Convolution& s, const WeightPlan& p, const Block& b) {
  using V = typename Lanes<T, Bytes>::Vector;
  constexpr int E = Lanes<T, Bytes>::count;
  const int64_t count = b.c_count * s.taps(), lanes = s.lanes > 0 ? s.lanes : E;
  V* acc = reinterpret_cast<V*>(b.acc);
  zero(acc, b.o_count * count * Bytes);
  for (int64_t row = 0; row < s.oh; row += p.step_rows) {
    const int64_t rows = smaller(p.step_rows, s.oh - row);
    const Window window = forward_window(s, row, row + rows);
    const int64_t end = smaller(s.n, (b.part + 1) * p.part_images);
    for (int64_t image = b.part * p.part_images; image < end; image += p.step_images) {
      const int64_t images = smaller(p.step_images, end - image);
      Step<T> step = {};
      const Strides x = s.lanes > 0 ? find_lanes<T>(call, s, b, window, image, images, row, step)
                                    : load_plain<T, Bytes>(call, s, b, window, image, images, row, rows, step);
      step.x_row = x.row * s.stride_h;
      set_walk(step, s, rows, lanes, E);
      for (int64_t i = 0; i < count; ++i) b.tap[i] = find_tap(s, i % s.taps(), window, lanes, x, i / s.taps());
      accumulate_block<V>(step, b.o_count, b.tap, count, acc);
    }
  }
  T* w = static_cast<T*>(call.pointers[0]) +
         (((b.part * s.groups + b.group) * s.group_o() + b.o) * s.group_c() + b.c) * s.taps();
  for (int64_t i = 0; i < b.o_count; ++i) add_lanes<T, Bytes>(acc + i * count, count, w + i * s.group_c() * s.taps());
}

// Whether half vectors serve better: few images, or rows that full vectors do not divide.
template <typename T>
bool takes_half(const Convolution& s) {
  constexpr int64_t full = Lanes<T, kVectorBytes>::count;
  if (s.lanes == 0) return s.n * static_cast<int64_t>(sizeof(T)) <= kHalfVectorBytes;
  return (s.stride_w == 1 ? s.ow * s.lanes : s.lanes) % full != 0;
}

// Operands: w, x, y. All dense; x and y with the lanes in memory where the launch says so.
template <typename T>
void weight_convolution(const Call& call) {
  const Convolution s = read_convolution(call.launch);
  const WeightPlan p = plan_weight(call.launch, sizeof(T));
  const bool half = takes_half<T>(s);
  for (int64_t i = call.begin; i < call.end; ++i) {
    const Block b = find_block(call, s, p, i);
    half ? run_block<T, kHalfVectorBytes>(call, s, p, b) : run_block<T, kVectorBytes>(call, s, p, b);
  }
}

}  // namespace

void add_weight_convolution(KernelTable& table) {
  enter<float>(table, LaunchCode::conv2d_weight, weight_convolution<float>);
  enter<double>(table, LaunchCode::conv2d_weight, weight_convolution<double>);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
