// Cut: how the blocks and threads of a kernel share a launch's work. It follows from shapes alone - never from the
// device, the number of members or the chunk - so that the bits of a result do, too.
#pragma once
#include <cstdint>

#include "backend/launch.h"

namespace ptmz::cuda {

inline constexpr int64_t kSharedBytes = 48 * 1024;  // what a block can have without asking
inline constexpr int64_t kSplitsBytes = 64;         // of these, room for what kernels/splits.h has
inline constexpr int kThreads = 256;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t product(const int64_t* shape, int begin, int end) {
  int64_t count = 1;
  for (int d = begin; d < end; ++d) count *= shape[d];
  return count;
}

struct Cut {
  int threads = kThreads;
  int64_t groups = 1;  // blocks along x
  int lanes = 1;       // threads that share an output
  int64_t splits = 1;  // blocks that share an output
  int64_t split_size = 0;
  int tile = 0;  // contractions: which of kTiles; narrow ones: outputs of a thread
  int64_t rows = 0, columns = 0, items = 1, depth = 0;  // contractions
  int64_t shared_bytes = 0;                             // of a narrow kernel's block
  int64_t scratch_bytes = 0, tickets = 0;               // of one member

  // Blocks share so many outputs, through partial results of so many bytes.
  void share(int64_t outputs, int64_t partial_bytes);
};

// The most threads, up to `most`, whose shared memory fits a block beside `own` bytes; a power of two.
int threads_that_fit(int64_t bytes_per_thread, int most, int64_t own = 0);

// Reductions with `thread_bytes` of shared memory per thread; argmax is never split.
Cut cut_reduction(const Launch& launch, int64_t thread_bytes);
Cut cut_contraction(const Launch& launch, int64_t element_bytes);
// Convolutions of few channels: whether kernels/narrow.cu takes them, and how.
bool fits_narrow(const Launch& launch);
Cut cut_narrow(const Launch& launch, int64_t element_bytes);
// Batch norm's sums over a channel.
Cut cut_channels(const Launch& launch, int64_t partial_bytes);
// Batch norms that compute the sums they read: whether channels are small enough, and the block of one.
bool takes_whole_channels(const Launch& norm);
Cut cut_whole_channels(const Launch& norm, int64_t thread_bytes);
// Layer norm's sums over rows.
Cut cut_columns(const Launch& launch, int64_t element_bytes);
// Attention: rows of a tile in `lanes`, the same for both passes of the gradient.
Cut cut_attention(const Launch& launch, int64_t element_bytes);
// Softmax cross-entropy and layer norm: lanes per row.
Cut cut_rows(int64_t rows, int64_t columns);

}  // namespace ptmz::cuda
