// conv2d_weight: dw[o][c][t] = sum over images and pixels of y[o][pixel] * x[c][base(pixel) + offset(t)], with images
// in the SIMD lanes. A block owns some (o, c) pairs and adds up the images of one part in order; a launch that follows
// adds the parts, so that sums never depend on threads.
#include "backend/cpu/kernels/conv.h"
#include "backend/cpu/kernels/conv_weight_tiles.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

static_assert(kTapBytes >= sizeof(Tap) && kTapBytes >= sizeof(Rectangle));

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
  void* taps;  // what the register tiles look up: a Tap for every (c, tap), or a Rectangle for every tap
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
  b.taps = b.acc + p.accumulator_bytes;
  b.y_position = reinterpret_cast<int32_t*>(static_cast<char*>(b.taps) + kTapBytes * p.block_c * s.taps());
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

// Copies rows of y of the last set, with 0 where a lane has no image. x may be anything finite there.
template <typename T, int Bytes>
void copy_live(const Convolution& s, int64_t channels, int64_t elements, const T* y, T* out) {
  using V = typename Lanes<T, Bytes>::Vector;
  using Unaligned = typename Lanes<T, Bytes>::Unaligned;
  constexpr int64_t E = Lanes<T, Bytes>::count;
  const LiveLanes<T> live(s.lanes, s.tail);
  const int64_t plane = s.oh * s.ow * s.lanes;
  for (int64_t o = 0; o < channels; ++o, y += plane, out += elements) {
    for (int64_t i = 0; i < elements; i += E) {
      const V value = *reinterpret_cast<const Unaligned*>(y + i);
      *reinterpret_cast<Unaligned*>(out + i) = live.keep(value, i);
    }
  }
}

// The same where the lanes are in memory: y is used where it lies unless lanes of it have no image, x too if no tap
// needs a border, or if it can do without. Returns the elements between channels of x, and those of its rows.
template <typename T, int Bytes>
Strides find_lanes(const Call& call, const Convolution& s, const WeightPlan& p, const Block& b, const Window& window,
                   int64_t image, int64_t images, int64_t row, int64_t rows, Step<T>& step) {
  const int64_t x_plane = s.h * s.w * s.lanes, y_plane = s.oh * s.ow * s.lanes, x_row = s.w * s.lanes;
  const T* x = static_cast<const T*>(call.pointers[1]) + image / s.lanes * s.c * x_plane +
               (b.group * s.group_c() + b.c) * x_plane;
  step.y = static_cast<const T*>(call.pointers[2]) + image / s.lanes * s.o * y_plane +
           (b.group * s.group_o() + b.o) * y_plane + row * s.ow * s.lanes;
  step.y_set = s.o * y_plane;
  step.y_channel = y_plane;
  step.sets = images / s.lanes;
  if (s.tail > 0 && image + s.lanes == s.n) {
    T* live = reinterpret_cast<T*>(b.y);
    step.y_channel = rows * s.ow * s.lanes;
    copy_live<T, Bytes>(s, b.o_count, step.y_channel, step.y, live);
    step.y = live;
  }
  const int64_t element = sizeof(T), pixel_bytes = s.lanes * element;
  const bool inside = window.column == 0 && window.columns == s.w && window.row >= 0 && window.row + window.rows <= s.h;
  const bool in_place = p.by_tap || (leaves_at_ends(s) && reads_planes(b.c_count, x_plane * element));
  step.bordered = !inside && pixel_bytes % kVectorBytes == 0 && in_place;
  if (inside || step.bordered) {
    step.x = x + window.row * x_row + window.column * s.lanes;
    step.x_set = s.c * x_plane;
    step.zeros = reinterpret_cast<const T*>(b.x);
    if (step.bordered && !p.by_tap) zero(b.x, window.columns * pixel_bytes);
    return {x_plane, x_row};
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

// Where tap `tap` stays inside: within `count` positions from `origin` on, `stride` apart, in [0, size).
struct Inside {
  int64_t begin, end;
};
Inside find_inside(int64_t origin, int64_t stride, int64_t count, int64_t size) {
  const int64_t begin = smaller(count, origin >= 0 ? 0 : ceil_divide(-origin, stride));
  const int64_t end = origin >= size ? 0 : smaller(count, ceil_divide(size - origin, stride));
  return {begin, larger(begin, end)};
}

template <typename T>
Rectangle find_rectangle(const Convolution& s, int64_t tap, const Window& window, int64_t lanes, const Step<T>& step,
                         int64_t x_row, int64_t rows) {
  const int64_t down = tap / s.kw * s.dilation_h, right = tap % s.kw * s.dilation_w;
  const int64_t offset = down * x_row + lanes * right;
  if (!step.bordered) return {offset, 0, step.rows, 0, step.vectors};
  const Inside row = find_inside(window.row + down, s.stride_h, rows, s.h);
  const Inside column = find_inside(window.column + right, s.stride_w, s.ow, s.w);
  return {offset, row.begin, row.end - row.begin, column.begin, column.end - column.begin};
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
    // A set with lanes that have no image is a step of its own.
    const int64_t full = s.tail > 0 && end == s.n ? end - s.lanes : end;
    for (int64_t image = b.part * p.part_images, images; image < end; image += images) {
      images = smaller(p.step_images, (image < full ? full : end) - image);
      Step<T> step = {};
      const Strides x = s.lanes > 0 ? find_lanes<T, Bytes>(call, s, p, b, window, image, images, row, rows, step)
                                    : load_plain<T, Bytes>(call, s, b, window, image, images, row, rows, step);
      step.x_row = x.row * s.stride_h;
      step.x_channel = x.plane;
      set_walk(step, s, rows, lanes, E);
      if (p.by_tap) {
        Rectangle* taps = static_cast<Rectangle*>(b.taps);
        for (int64_t i = 0; i < s.taps(); ++i) taps[i] = find_rectangle(s, i, window, lanes, step, x.row, rows);
        accumulate_block_by_tap<V>(step, b.o_count, b.c_count, taps, s.taps(), acc);
      } else {
        Tap* taps = static_cast<Tap*>(b.taps);
        for (int64_t i = 0; i < count; ++i) taps[i] = find_tap(s, i % s.taps(), window, lanes, x, i / s.taps());
        accumulate_block<V>(step, b.o_count, taps, count, acc);
      }
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
