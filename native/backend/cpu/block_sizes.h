// Block sizes: how the launches that are not contractions are cut into independent blocks, and the scratch that one
// block needs. Shared by cut.cpp and the kernels; a size depends on shapes only, so the bits of a result do too.
#pragma once
#include "backend/launch.h"

namespace ptmz::cpu {

constexpr int64_t kBlock = 512;             // elements in one register of the block interpreter
constexpr int64_t kRegister = kBlock + 16;  // with room to write past the end of a short run
constexpr int64_t kMapBlock = 16384;        // elements: map, copy_index, iota, random, gather
constexpr int64_t kWorkBlock = 32768;       // elements read by one block of a reduction, scatter or row kernel

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t product(const int64_t* shape, int begin, int end) {
  int64_t count = 1;
  for (int d = begin; d < end; ++d) count *= shape[d];
  return count;
}

static inline int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Items per block when one item costs `work` elements.
static inline int64_t items_per_block(int64_t work, int64_t at_least) {
  const int64_t items = kWorkBlock / (work > 0 ? work : 1);
  return items > at_least ? items : at_least;
}

// Outputs per block. Column reductions keep enough neighbours together to fill whole cache lines and vectors.
static inline int64_t reduce_block(int64_t reduced, bool column) { return items_per_block(reduced, column ? 128 : 1); }

// (n, c) planes per block.
static inline int64_t pool_block(int64_t out_plane, int64_t window) { return items_per_block(out_plane * window, 1); }

// Positions off the axis per block.
static inline int64_t scatter_block(int64_t in_axis, int64_t out_axis) {
  return items_per_block(in_axis + out_axis, 16);
}

// Elements of each image per block of a reordering.
static inline int64_t reorder_block(int64_t lanes) { return kMapBlock / lanes; }

// Rows of the fused softmax kernels per block.
static inline int64_t row_block(int64_t columns) { return items_per_block(columns, 1); }

// Runs of one channel per block of batch norm.
static inline int64_t run_block(int64_t run) { return items_per_block(run, 1); }

// Rows that one partial result of layer_norm_backward_sums adds up, and the number of these.
constexpr int64_t kPartRows = 256, kMostParts = 16;
static inline int64_t row_parts(int64_t rows) {
  const int64_t parts = ceil_divide(rows, kPartRows);
  return parts < 1 ? 1 : parts > kMostParts ? kMostParts : parts;
}

// Rows of queries that attention takes at once: their scores against all keys stay in the second-level cache, and where
// later keys are not seen, short blocks skip more of them.
constexpr int64_t kMostQueries = 128;
static inline int64_t attention_rows(const Launch& launch) {
  const int64_t time = launch.shape[2], most = launch.ints[0] ? 64 : kMostQueries, fit = 65536 / (time > 0 ? time : 1);
  const int64_t rows = fit < 8 ? 8 : fit < most ? fit : most;
  return ceil_divide(time, ceil_divide(time, rows));
}

// Blocks of a launch; contractions are cut elsewhere and give 0.
static inline int64_t block_count(const Launch& launch) {
  const int64_t* shape = launch.shape;
  const int64_t count = product(shape, 0, launch.rank), kept = product(shape, 0, launch.kept_rank);
  // A scatter without positions still writes zeros.
  if (launch.code == LaunchCode::scatter_add) {
    const int axis = static_cast<int>(launch.ints[0]);
    const int64_t places = product(shape, 0, axis) * product(shape, axis + 1, launch.rank);
    return ceil_divide(places, scatter_block(shape[axis], launch.ints[3]));
  }
  if (count == 0) return 0;
  switch (launch.code) {
    case LaunchCode::map:
    case LaunchCode::copy_index:
    case LaunchCode::iota:
    case LaunchCode::random:
    case LaunchCode::gather:
      return ceil_divide(count, kMapBlock);
    case LaunchCode::to_lanes:
    case LaunchCode::from_lanes:
      return ceil_divide(shape[1], reorder_block(launch.ints[kLanesInt])) *
             ceil_divide(shape[0], launch.ints[kLanesInt]);
    case LaunchCode::reduce_sum:
    case LaunchCode::reduce_max:
      return ceil_divide(kept, reduce_block(count / kept, launch.column));
    case LaunchCode::argmax:
      return ceil_divide(kept, reduce_block(count / kept, false));
    case LaunchCode::pool_argmax:
      return ceil_divide(shape[0] * shape[1], pool_block(shape[4] * shape[5], launch.ints[0] * launch.ints[1]));
    case LaunchCode::softmax_cross_entropy:
    case LaunchCode::softmax_cross_entropy_backward:
      return ceil_divide(shape[0], row_block(shape[1]));
    case LaunchCode::batch_statistics:
    case LaunchCode::batch_norm_backward_sums:
      return shape[1];
    case LaunchCode::batch_norm:
    case LaunchCode::batch_norm_add:
    case LaunchCode::batch_norm_backward_input:
      return ceil_divide(shape[0] * shape[1], run_block(shape[2]));
    case LaunchCode::layer_norm:
    case LaunchCode::layer_norm_backward_input:
      return ceil_divide(shape[0], row_block(shape[1]));
    case LaunchCode::layer_norm_backward_sums:
      return launch.ints[kPartsInt];
    case LaunchCode::attention:
      return shape[0] * shape[1] * ceil_divide(shape[2], attention_rows(launch));
    case LaunchCode::attention_backward:
      return shape[0] * shape[1];
    default:
      return 0;
  }
}

// Scratch bytes of one thread: the registers of the block interpreter.
static inline int64_t register_bytes(const Launch& launch, DType real) {
  const bool reduces = launch.code == LaunchCode::reduce_sum || launch.code == LaunchCode::reduce_max;
  if (launch.code != LaunchCode::map && !reduces && launch.instr_count == 0) return 0;
  const int64_t inputs = launch.operand_count - 1;
  const int64_t registers = launch.register_count > inputs ? launch.register_count : inputs;
  return registers * kRegister * (real == DType::f32 ? 4 : 8);
}

}  // namespace ptmz::cpu
