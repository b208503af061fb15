// conv2d and conv2d_input: direct convolutions with images in the SIMD lanes and zero borders around the planes.
//
// Both compute out[d][p] = sum over source channels s and taps t of w(d, s, t) * window[s][base(p) + offset(t)]. For
// conv2d every tap serves every pixel. For conv2d_input a pixel (r, c) of x takes the taps with
// (r + pad - k * dilation) divisible by the stride, so pixels fall into stride_h * stride_w classes, each with its
// taps.
#include "backend/cpu/kernels/conv.h"

#include "backend/cpu/kernels/lanes.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

struct PixelClass {
  int64_t tap_begin, tap_end, pixel_begin, pixel_end;
};

// What a block looks up while it computes; lies in scratch.
struct Tables {
  int64_t* tap_offset;  // in the window, relative to a pixel's base
  int64_t* tap_weight;  // element of a (KH,KW) kernel
  PixelClass* classes;
  int64_t class_count;
  int32_t *base, *target;  // of each pixel, by class: in the window and in the output tile
  int32_t* position;       // of each source element in the window
};

void fill_forward(Tables& t, const Convolution& s, const Window& window, int64_t rows) {
  for (int64_t i = 0; i < s.taps(); ++i) {
    t.tap_offset[i] = i / s.kw * s.dilation_h * window.columns + i % s.kw * s.dilation_w;
    t.tap_weight[i] = i;
  }
  const int64_t pixels = rows * s.ow;
  for (int64_t r = 0, p = 0; r < rows; ++r) {
    for (int64_t c = 0; c < s.ow; ++c, ++p) {
      t.base[p] = static_cast<int32_t>(r * s.stride_h * window.columns + c * s.stride_w);
      t.target[p] = static_cast<int32_t>(p);
    }
  }
  t.classes[0] = {0, s.taps(), 0, pixels};
  t.class_count = 1;
}

void fill_input(Tables& t, const Convolution& s, const Window& window, int64_t row_begin, int64_t rows) {
  int64_t taps = 0, pixels = 0;
  t.class_count = 0;
  for (int64_t i = 0; i < s.stride_h; ++i) {
    for (int64_t j = 0; j < s.stride_w; ++j) {
      PixelClass& cls = t.classes[t.class_count++];
      cls.tap_begin = taps;
      cls.pixel_begin = pixels;
      for (int64_t tap = 0; tap < s.taps(); ++tap) {
        const int64_t kh = tap / s.kw * s.dilation_h, kw = tap % s.kw * s.dilation_w;
        if (kh % s.stride_h != i || kw % s.stride_w != j) continue;
        t.tap_offset[taps] = -(kh / s.stride_h) * window.columns - kw / s.stride_w;
        t.tap_weight[taps++] = tap;
      }
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t row = row_begin + r + s.pad_h;
        if (row % s.stride_h != i) continue;
        for (int64_t c = (j + s.stride_w - s.pad_w % s.stride_w) % s.stride_w; c < s.w; c += s.stride_w, ++pixels) {
          const int64_t from =
              (row / s.stride_h - window.row) * window.columns + (c + s.pad_w) / s.stride_w - window.column;
          t.base[pixels] = static_cast<int32_t>(from);
          t.target[pixels] = static_cast<int32_t>(r * s.w + c);
        }
      }
      cls.tap_end = taps;
      cls.pixel_end = pixels;
    }
  }
}

// Every pixel once more for each further set of lanes.
void repeat_pixels(Tables& t, int64_t sets, int64_t pixels, int64_t window_set, int64_t output_set) {
  if (sets == 1) return;
  int64_t end = sets * pixels;
  for (int64_t k = t.class_count - 1; k >= 0; --k) {
    PixelClass& cls = t.classes[k];
    const int64_t count = cls.pixel_end - cls.pixel_begin;
    const int64_t begin = end - sets * count;
    for (int64_t set = sets - 1; set >= 0; --set) {
      for (int64_t i = count - 1; i >= 0; --i) {
        t.base[begin + set * count + i] = static_cast<int32_t>(t.base[cls.pixel_begin + i] + set * window_set);
        t.target[begin + set * count + i] = static_cast<int32_t>(t.target[cls.pixel_begin + i] + set * output_set);
      }
    }
    cls.pixel_begin = begin;
    cls.pixel_end = end;
    end = begin;
  }
}

// A tile of M destination channels by P pixels, held in registers.
template <typename T>
struct Weights {
  const T* data;
  int64_t destination, source;  // elements between channels
};
template <typename V>
struct Tile {
  const V* window;
  int64_t sources, window_plane;
  V* output;
  int64_t output_plane;
};

template <int M, int P, typename T, typename V>
__attribute__((noinline)) void accumulate(const Tile<V>& tile, const Weights<T>& w, const Tables& t,
                                          const PixelClass& cls, int64_t pixel) {
  const int64_t *offset = t.tap_offset, *weight = t.tap_weight;
  const V* from[P];
#pragma GCC unroll 8
  for (int i = 0; i < P; ++i) from[i] = tile.window + t.base[pixel + i];
  V sums[M][P] = {};
  const T* source_weights = w.data;
  const int64_t step = w.destination;
  for (int64_t plane = 0; plane < tile.sources * tile.window_plane; plane += tile.window_plane) {
    for (int64_t k = cls.tap_begin; k < cls.tap_end; ++k) {
      const int64_t at = plane + offset[k];
      const T* tap = source_weights + weight[k];
      V x[P];
#pragma GCC unroll 8
      for (int i = 0; i < P; ++i) x[i] = from[i][at];
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) {
        const T factor = tap[m * step];
#pragma GCC unroll 8
        for (int i = 0; i < P; ++i) sums[m][i] += x[i] * factor;
      }
    }
    source_weights += w.source;
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) tile.output[m * tile.output_plane + t.target[pixel + i]] = sums[m][i];
  }
}

// Most pixels per tile such that the sums stay in registers.
constexpr int most_pixels(int m) {
  if (kVectorRegisters == 32) return m == 4 ? 6 : 8;
  return m == 4 ? 3 : m == 3 ? 4 : m == 2 ? 5 : 8;
}

template <int M, int P, typename T, typename V>
void accumulate_some(int64_t count, const Tile<V>& tile, const Weights<T>& w, const Tables& t, const PixelClass& cls,
                     int64_t pixel) {
  if constexpr (P > 1) {
    if (count < P) return accumulate_some<M, P - 1>(count, tile, w, t, cls, pixel);
  }
  accumulate<M, P>(tile, w, t, cls, pixel);
}

// All pixels for M channels, in tiles of nearly equal size.
template <int M, typename T, typename V>
void accumulate_pixels(const Tile<V>& tile, const Weights<T>& w, const Tables& t) {
  constexpr int most = most_pixels(M);
  for (int64_t k = 0; k < t.class_count; ++k) {
    const PixelClass& cls = t.classes[k];
    const int64_t pixels = cls.pixel_end - cls.pixel_begin, tiles = ceil_divide(pixels, most);
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t begin = pixels * i / tiles, end = pixels * (i + 1) / tiles;
      accumulate_some<M, most>(end - begin, tile, w, t, cls, cls.pixel_begin + begin);
    }
  }
}

template <typename T, typename V>
void accumulate_channels(int64_t channels, Tile<V> tile, Weights<T> w, const Tables& t) {
  const int64_t tiles = ceil_divide(channels, 4);
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t count = channels * (i + 1) / tiles - channels * i / tiles;
    if (count == 4) accumulate_pixels<4>(tile, w, t);
    if (count == 3) accumulate_pixels<3>(tile, w, t);
    if (count == 2) accumulate_pixels<2>(tile, w, t);
    if (count == 1) accumulate_pixels<1>(tile, w, t);
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

template <typename T, int Bytes>
void run_block(const Call& call, const Convolution& s, const GatherPlan& p, const Block& b) {
  using V = typename Lanes<T, Bytes>::Vector;
  constexpr int L = Lanes<T, Bytes>::count;
  char* scratch = static_cast<char*>(call.scratch);
  V* window_data = reinterpret_cast<V*>(scratch);
  V* output = reinterpret_cast<V*>(scratch + p.window_bytes);
  Tables t;
  t.tap_offset = reinterpret_cast<int64_t*>(scratch + p.window_bytes + p.output_bytes);
  t.tap_weight = t.tap_offset + s.taps();
  t.classes = reinterpret_cast<PixelClass*>(t.tap_weight + s.taps());
  t.base = reinterpret_cast<int32_t*>(t.classes + (p.input ? s.stride_h * s.stride_w : 1));
  t.target = t.base + p.table_entries;
  t.position = t.target + p.table_entries;

  const Window window = p.input ? input_window(s, b.row, b.row + b.rows) : forward_window(s, b.row, b.row + b.rows);
  const int64_t plane = window.rows * window.columns, pixels = b.rows * p.columns, sets = ceil_divide(b.images, L);
  if (p.input) {
    fill_input(t, s, window, b.row, b.rows);
  } else {
    fill_forward(t, s, window, b.rows);
  }
  repeat_pixels(t, sets, pixels, p.sources * plane, p.tile_channels * pixels);

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

  const T* kernels =
      static_cast<const T*>(call.pointers[p.input ? 1 : 2]) + b.group * p.sources * p.channels * s.taps();
  Weights<T> w = {kernels, p.sources * s.taps(), s.taps()};
  if (p.input) w = {kernels, s.taps(), p.channels * s.taps()};
  const int64_t out_plane = p.rows * p.columns, out_image = s.groups * p.channels * out_plane;
  T* out = static_cast<T*>(call.pointers[0]) + b.image * out_image + b.group * p.channels * out_plane;
  for (int64_t d = b.channel; d < b.channel + b.channels; d += p.tile_channels) {
    const int64_t channels = smaller(p.tile_channels, b.channel + b.channels - d);
    accumulate_channels<T, V>(channels, {window_data, p.sources, plane, output, pixels},
                              {w.data + d * w.destination, w.destination, w.source}, t);
    for (int64_t set = 0; set < sets; ++set) {
      const Planes<T> to = {
          out + set * L * out_image + d * out_plane, out_image, out_plane, channels, b.row * p.columns, pixels};
      store_lanes<T, Bytes>(output + set * p.tile_channels * pixels, to, smaller(L, b.images - set * L));
    }
  }
}

// Operands: conv2d y, x, w; conv2d_input x, w, y. All dense.
template <typename T>
void gather_convolution(const Call& call) {
  const Convolution s = read_convolution(call.launch);
  const GatherPlan p = plan_gather(call.launch, sizeof(T));
  for (int64_t i = call.begin; i < call.end; ++i) {
    const Block b = find_block(s, p, i);
    if (b.images * static_cast<int64_t>(sizeof(T)) <= kHalfVectorBytes) {
      run_block<T, kHalfVectorBytes>(call, s, p, b);
    } else {
      run_block<T, kVectorBytes>(call, s, p, b);
    }
  }
}

}  // namespace

void add_gather_convolutions(KernelTable& table) {
  enter<float>(table, LaunchCode::conv2d, gather_convolution<float>);
  enter<double>(table, LaunchCode::conv2d, gather_convolution<double>);
  enter<float>(table, LaunchCode::conv2d_input, gather_convolution<float>);
  enter<double>(table, LaunchCode::conv2d_input, gather_convolution<double>);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
