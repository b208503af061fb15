// conv2d and conv2d_input: direct convolutions with images in the SIMD lanes.
//
// Both compute out[d][p] = sum over source channels s and taps t of w(d, s, t) * window[s][base(p) + offset(t)].
//
// The window is a copy with zeros around it. Where a pixel's lanes fill whole vectors it is the planes themselves, or a
// copy of them that caches hold better: then rows whose taps reach outside take fewer taps, and so do the pixels at
// either end of a row.
#include "backend/cpu/kernels/conv.h"

#include "backend/cpu/kernels/conv_tiles.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

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
