// The kernels by name: what enqueue.cpp can launch.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

// elementwise.cu. `wide_index`: more than 2^32 elements; `several`: kMapWidth elements per thread.
inline constexpr int kMapWidth = 4;
Kernel map_kernel(DType real, bool wide_index, bool several);
Kernel copy_index_kernel(bool wide_index);
Kernel iota_kernel(DType real);
Kernel random_kernel(DType real);

// reductions.cu
enum class Reduction { sum, inner_product, max, argmax };
Kernel reduction_kernel(Reduction kind, DType real, bool wide_index);
inline constexpr int64_t kReductionPartialBytes = 2 * sizeof(double);
// Elements that a thread adds up one after the other; a row that has no more is one thread's.
inline constexpr int kShortSum = 16;
// Shared memory of one thread.
int64_t reduction_thread_bytes(Reduction kind, int registers, int64_t element_bytes);

// indexing.cu. scatter_add expects zeros in the output.
Kernel gather_kernel(DType real);
Kernel scatter_add_kernel(DType real);
Kernel pool_argmax_kernel(DType real);

// contractions.cu: `code` is matmul or one of the convolutions; `applies`: with the instructions of a matmul, whose
// registers take what is left of a block's shared memory.
struct Tile {
  int rows, columns, threads;
  int across;  // elements of a row that a thread computes
};
inline constexpr Tile kTiles[] = {{64, 64, 256, 4}, {32, 32, 256, 2}, {8, 128, 128, 4}};
Kernel contraction_kernel(LaunchCode code, DType real, int tile, bool applies);
Kernel join_contraction_kernel(LaunchCode code, DType real, bool applies);
int64_t contraction_shared_bytes(const Tile& tile, int64_t element_bytes);

// columns.cu: between images and the matrices of columns.h; operand 0 is written, 1 is read.
enum class ColumnsMove { gather, add };
Kernel columns_kernel(ColumnsMove what, DType real, bool channels_last);

// batch_norm.cu
// `aside`: channels lie side by side, and a block takes kChannelsAside of them; else one.
Kernel channel_kernel(LaunchCode code, DType real, bool aside);  // batch_statistics, batch_norm_backward_sums
Kernel normalise_kernel(LaunchCode code, DType real);  // batch_norm, batch_norm_add, batch_norm_backward_input
inline constexpr int kNormWidth = 4;                   // elements that a thread of it takes
// Both in one: batch_norm_training and the like; `computes`: with the instructions of batch_norm_backward, whose
// registers lie behind the partial sums in shared memory.
Kernel whole_channel_kernel(LaunchCode code, DType real, bool computes, bool aside);
inline constexpr int kChannelsAside = 8;
inline constexpr int64_t kChannelPartialBytes = 3 * sizeof(double);
inline constexpr int kChannelThreads = 256;

// layer_norm.cu. The sums over rows are three kernels: a Centre for every row in scratch, sums of splits, and their
// join.
Kernel layer_norm_kernel(LaunchCode code, DType real);  // of layer_norm_backward_sums: the first
Kernel layer_norm_sums_kernel(DType real);
Kernel join_layer_norm_sums_kernel(DType real);
__host__ __device__ inline int64_t layer_norm_centres_bytes(int64_t rows, int64_t element_bytes) {
  return (rows * 3 * element_bytes + 63) / 64 * 64;
}
inline constexpr int64_t kLayerNormPartialBytes = 2 * sizeof(double);

// attention.cu. The gradient is two kernels, the first of which leaves three numbers per row in scratch.
enum class AttentionPass { forward, queries, keys };
Kernel attention_kernel(AttentionPass pass, DType real);
// Shared memory of a block whose tiles have so many rows.
int64_t attention_elements(AttentionPass pass, int64_t tile, int64_t size);

// cross_entropy.cu
Kernel cross_entropy_kernel(LaunchCode code, DType real);

// images.cu, samples.cu and steps.cu: the kernel of a StepTask; null for a code of another function.
StepKernel image_kernel(StepCode code, DType real);
// Shared memory of a block of StepCode::recolour: histograms and tables.
__host__ __device__ inline int64_t recolour_bytes(int64_t channels) { return channels * 256 * 5; }
StepKernel sample_kernel(StepCode code);
StepKernel step_kernel(StepCode code, DType real);
StepKernel optimiser_kernel(StepCode code, DType real, const OptimiserOptions& options);

}  // namespace ptmz::cuda
