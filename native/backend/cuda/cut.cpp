// The sizes of blocks, tiles and splits.
#include "backend/cuda/cut.h"

#include <algorithm>

#include "backend/cuda/kernels/table.h"
#include "backend/cuda/narrow.h"

namespace ptmz::cuda {
namespace {

// Blocks that fill a large device about twice over; a smaller one works through them.
constexpr int64_t kEnoughBlocks = 512;
constexpr int64_t kLaneElements = 32;  // worth a thread's while
constexpr int64_t kSplitDepth = 256;   // of a product, worth a block's while
constexpr int64_t kChannelElements = 8192;
// Elements of a block; of more, sharing blocks should be worth two launches. An estimate.
constexpr int64_t kWholeChannel = 16384;
constexpr int64_t kWholeChannelThreads = 1024, kThreadElements = 4;
constexpr int64_t kNarrowChannels = 16, kNarrowDepth = 160;  // beyond, tiles are full enough
constexpr int64_t kNarrowPixels = 4;                         // of a weight's gradient, worth a thread's while
constexpr int64_t kColumnRows = 32;                          // of layer norm's sums, worth a thread's while

int64_t power_of_two_below(int64_t n) {
  int64_t power = 1;
  while (power * 2 <= n) power *= 2;
  return power;
}

// Cuts `size` into at most `splits` equal parts whose size is a multiple of `unit`.
void split(Cut& cut, int64_t size, int64_t splits, int64_t unit) {
  splits = std::max<int64_t>(1, splits);
  cut.split_size = std::max<int64_t>(unit, divide_up(divide_up(size, splits), unit) * unit);
  cut.splits = std::max<int64_t>(1, divide_up(size, cut.split_size));
}

int64_t rounded(int64_t bytes) { return divide_up(bytes, 64) * 64; }

}  // namespace

void Cut::share(int64_t outputs, int64_t partial_bytes) {
  tickets = outputs;
  scratch_bytes = rounded(partial_bytes);
}

int threads_that_fit(int64_t bytes_per_thread, int most, int64_t own) {
  while (most > 16 && own + most * bytes_per_thread > kSharedBytes) most /= 2;
  return most;
}

Cut cut_reduction(const Launch& l, int64_t thread_bytes) {
  Cut cut;
  const int64_t kept = product(l.shape, 0, l.kept_rank), reduced = product(l.shape, l.kept_rank, l.rank);
  cut.threads = threads_that_fit(thread_bytes, kThreads, kSplitsBytes);
  // Side by side in memory are outputs, or else the elements of one.
  const int64_t outputs = kept <= 1 ? 1 : std::min<int64_t>(32, 2 * power_of_two_below(kept - 1));
  const int64_t threads = reduced <= kShortSum ? 1 : power_of_two_below(reduced);
  cut.lanes = static_cast<int>(l.column ? cut.threads / outputs : std::min<int64_t>(cut.threads, threads));
  cut.groups = divide_up(kept, cut.threads / cut.lanes);
  const int64_t most = l.code == LaunchCode::argmax ? 1 : divide_up(kEnoughBlocks, std::max<int64_t>(1, cut.groups));
  split(cut, reduced, std::min(most, reduced / (cut.lanes * kLaneElements)), 1);
  if (cut.splits > 1) cut.share(cut.groups, cut.splits * kept * kReductionPartialBytes);
  return cut;
}

namespace {

// Items, rows, columns and depth.
Cut sizes_of(const Launch& l) {
  Cut cut;
  const int64_t *s = l.shape, taps = l.ints[9] * l.ints[10];
  switch (l.code) {
    case LaunchCode::conv2d:
      cut.items = l.ints[6];
      cut.rows = s[4] / cut.items;
      cut.columns = s[0] * s[5] * s[6];
      cut.depth = s[1] / cut.items * taps;
      break;
    case LaunchCode::conv2d_input:
      cut.items = l.ints[6];
      cut.rows = s[1] / cut.items;
      cut.columns = s[0] * s[2] * s[3];
      cut.depth = s[4] / cut.items * taps;
      break;
    case LaunchCode::conv2d_weight:
      cut.items = l.ints[6];
      cut.rows = s[4] / cut.items;
      cut.columns = s[1] / cut.items * taps;
      cut.depth = s[0] * s[5] * s[6];
      break;
    default:
      cut.items = product(s, 0, l.rank - 3);
      cut.rows = s[l.rank - 3];
      cut.columns = s[l.rank - 2];
      cut.depth = s[l.rank - 1];
  }
  return cut;
}

}  // namespace

Cut cut_contraction(const Launch& l, int64_t element_bytes) {
  Cut cut = sizes_of(l);
  cut.tile = cut.rows > 32 && cut.columns > 32 ? 0 : cut.rows <= 8 && cut.columns > 32 ? 2 : 1;
  const Tile& tile = kTiles[cut.tile];
  cut.threads = tile.threads;
  const int64_t tiles = cut.items * divide_up(cut.rows, tile.rows) * divide_up(cut.columns, tile.columns);
  split(cut, cut.depth, std::min(divide_up(kEnoughBlocks, std::max<int64_t>(1, tiles)), cut.depth / kSplitDepth), 16);
  cut.groups = tiles * cut.splits;
  if (cut.splits > 1) cut.scratch_bytes = rounded(cut.splits * cut.items * cut.rows * cut.columns * element_bytes);
  return cut;
}

bool fits_narrow(const Launch& l) {
  if (l.ints[kChannelsLastInt] != 0)
    return false;  // its threads read neighbouring pixels, and have no register to spare
  const Cut cut = sizes_of(l);
  const bool square = l.ints[9] == l.ints[10] && (l.ints[9] == 1 || l.ints[9] == 3);
  const int64_t inputs = l.shape[1] / cut.items, most = int64_t{1} << 30;  // elements, and room for idle threads
  if (std::max(product(l.shape, 0, 4), l.shape[0] * product(l.shape, 4, 7)) > most || cut.rows > kNarrowChannels)
    return false;
  return l.code == LaunchCode::conv2d_weight ? square && inputs <= kNarrowChannels : cut.depth <= kNarrowDepth;
}

Cut cut_narrow(const Launch& l, int64_t element_bytes) {
  Cut cut = sizes_of(l);
  const bool weight = l.code == LaunchCode::conv2d_weight;
  cut.threads = kNarrowThreads;
  cut.tile = cut.rows <= 2 ? 2 : cut.rows <= 4 || weight ? 4 : 8;
  const int64_t down = divide_up(cut.rows, cut.tile);
  if (!weight) {
    cut.groups = cut.items * down * divide_up(cut.columns, cut.threads);
    cut.shared_bytes = cut.depth * cut.tile * element_bytes;
    return cut;
  }
  const int64_t blocks = std::max<int64_t>(1, l.shape[1] * down);
  split(cut, cut.depth, std::min(divide_up(kEnoughBlocks, blocks), cut.depth / (kNarrowPixels * cut.threads)), 1);
  cut.groups = l.shape[1] * down * cut.splits;
  cut.shared_bytes = l.ints[9] * l.ints[10] * cut.tile * cut.threads * element_bytes;
  if (cut.splits > 1) cut.share(blocks, cut.splits * cut.items * cut.rows * cut.columns * element_bytes);
  return cut;
}

namespace {
// Of a batch norm.
int64_t channels_of_block(const Launch& l) { return l.column ? kChannelsAside : 1; }
}  // namespace

Cut cut_channels(const Launch& l, int64_t partial_bytes) {
  Cut cut;
  const int64_t channels = l.shape[1], elements = l.shape[0] * l.shape[2], width = channels_of_block(l);
  cut.threads = kChannelThreads;
  cut.groups = divide_up(channels, width);
  const int64_t most = divide_up(kEnoughBlocks, std::max<int64_t>(1, cut.groups));
  split(cut, elements, std::min(most, elements * width / kChannelElements), 1);
  if (cut.splits > 1) cut.share(cut.groups, cut.splits * channels * partial_bytes);
  return cut;
}

bool takes_whole_channels(const Launch& l) { return l.shape[0] * l.shape[2] * channels_of_block(l) <= kWholeChannel; }

Cut cut_whole_channels(const Launch& l, int64_t thread_bytes) {
  Cut cut;
  const int64_t elements = l.shape[0] * l.shape[2], width = channels_of_block(l);
  cut.groups = divide_up(l.shape[1], width);
  cut.split_size = elements;
  const int64_t wanted = power_of_two_below(std::max<int64_t>(1, elements * width / kThreadElements));
  cut.threads = threads_that_fit(thread_bytes, static_cast<int>(std::clamp<int64_t>(wanted, 32, kWholeChannelThreads)));
  return cut;
}

Cut cut_columns(const Launch& l, int64_t element_bytes) {
  Cut cut;
  const int64_t rows = l.shape[0], columns = l.shape[1];
  cut.groups = divide_up(columns, cut.threads);
  split(cut, rows, std::min(divide_up(kEnoughBlocks, std::max<int64_t>(1, cut.groups)), rows / kColumnRows), 1);
  cut.scratch_bytes =
      layer_norm_centres_bytes(rows, element_bytes) + rounded(cut.splits * columns * kLayerNormPartialBytes);
  return cut;
}

Cut cut_attention(const Launch& l, int64_t element_bytes) {
  Cut cut;
  const AttentionPass largest = l.code == LaunchCode::attention ? AttentionPass::forward : AttentionPass::keys;
  cut.lanes = 32;
  while (cut.lanes > 1 && attention_elements(largest, cut.lanes, l.shape[3]) * element_bytes > kSharedBytes)
    cut.lanes /= 2;
  cut.threads = cut.lanes >= 16 ? kThreads : 64;
  cut.groups = l.shape[0] * l.shape[1] * divide_up(l.shape[2], cut.lanes);
  if (l.code == LaunchCode::attention_backward)
    cut.scratch_bytes = rounded(3 * l.shape[0] * l.shape[1] * l.shape[2] * element_bytes);
  return cut;
}

Cut cut_rows(int64_t rows, int64_t columns) {
  Cut cut;
  cut.lanes = static_cast<int>(std::min<int64_t>(cut.threads, power_of_two_below(std::max<int64_t>(1, columns))));
  cut.groups = divide_up(rows, cut.threads / cut.lanes);
  return cut;
}

}  // namespace ptmz::cuda
