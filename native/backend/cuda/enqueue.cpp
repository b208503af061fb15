// One enqueuer per kind of launch: fills the task, chooses the kernel and its grid.
#include "backend/cuda/enqueue.h"

#include <algorithm>

#include "backend/cuda/columns.h"
#include "backend/cuda/cut.h"
#include "backend/cuda/kernels/table.h"
#include "backend/cuda/matmul.h"
#include "backend/cuda/narrow.h"
#include "backend/cuda/way.h"
#include "ir/graph.h"

namespace ptmz::cuda {
namespace {

bool always_wide = false;

int64_t bytes_of(DType real) { return real == DType::f64 ? 8 : 4; }

// A sum whose last instruction is a product and that keeps nothing.
Reduction reduction_of(const Launch& l, const Instr* instrs) {
  if (l.code == LaunchCode::reduce_max) return Reduction::max;
  if (l.code == LaunchCode::argmax) return Reduction::argmax;
  const bool product_last = instrs != nullptr && l.instr_count > 0 &&
                            static_cast<Op>(instrs[l.instr_begin + l.instr_count - 1].op) == Op::mul;
  return product_last && product(l.shape, 0, l.kept_rank) == 1 ? Reduction::inner_product : Reduction::sum;
}
// Both kinds of sum need the same shared memory, so the cut does not depend on the instructions.
Cut reduction_cut(const Launch& l, DType real) {
  return cut_reduction(l, reduction_thread_bytes(reduction_of(l, nullptr), registers_of(l), bytes_of(real)));
}

class Enqueuer {
 public:
  Enqueuer(const DeviceLaunch& given, cudaStream_t stream)
      : given_(given), l_(*given.launch), real_(given.real), stream_(stream), task_(task_of(given)) {}

  cudaError_t run() {
    switch (l_.code) {
      case LaunchCode::map:
        return map(task_);
      case LaunchCode::copy_index:
        return over(copy_index_kernel(wide()), task_.count);
      case LaunchCode::iota:
        return over(iota_kernel(real_), task_.count);
      case LaunchCode::random:
        return over(random_kernel(real_), task_.count);
      case LaunchCode::reduce_sum:
      case LaunchCode::reduce_max:
      case LaunchCode::argmax:
        return reduction();
      case LaunchCode::matmul:
        return contraction();
      case LaunchCode::conv2d:
      case LaunchCode::conv2d_input:
      case LaunchCode::conv2d_weight:
        return way_of(l_, real_, false) == Way::narrow ? narrow() : contraction();
      case LaunchCode::pool_argmax:
        return over(pool_argmax_kernel(real_), l_.shape[0] * l_.shape[1] * l_.shape[4] * l_.shape[5]);
      case LaunchCode::gather:
        return over(gather_kernel(real_), task_.count);
      case LaunchCode::scatter_add:
        return scatter_add();
      case LaunchCode::softmax_cross_entropy:
      case LaunchCode::softmax_cross_entropy_backward:
        return rows(cross_entropy_kernel(l_.code, real_));
      case LaunchCode::layer_norm:
      case LaunchCode::layer_norm_backward_input:
        return rows(layer_norm_kernel(l_.code, real_));
      case LaunchCode::layer_norm_backward_sums:
        return layer_norm_sums();
      case LaunchCode::attention:
        return attention(AttentionPass::forward);
      case LaunchCode::attention_backward: {
        const cudaError_t error = attention(AttentionPass::queries);
        return error != cudaSuccess ? error : attention(AttentionPass::keys);
      }
      case LaunchCode::batch_statistics:
      case LaunchCode::batch_norm_backward_sums:
        return channels();
      case LaunchCode::batch_norm:
      case LaunchCode::batch_norm_add:
      case LaunchCode::batch_norm_backward_input:
        task_.reduced = l_.shape[0] * l_.shape[2];
        return launch(normalise_kernel(l_.code, real_), task_, divide_up(task_.count, kNormWidth * kThreads), 1,
                      kThreads, 0);
      case LaunchCode::batch_norm_training:
      case LaunchCode::batch_norm_training_add:
      case LaunchCode::batch_norm_backward:
        return whole_channels();
      default:
        return cudaErrorInvalidValue;
    }
  }

 private:
  // Element counts that need 64-bit indices; the room above is for the last block's idle threads.
  bool wide() const { return always_wide || task_.count >= int64_t{1} << 31; }

  cudaError_t launch(Kernel kernel, const Task& task, int64_t groups, int64_t splits, int threads, int64_t shared) {
    if (groups == 0 || given_.members == 0) return cudaSuccess;
    void* arguments[] = {const_cast<Task*>(&task)};
    const dim3 grid(static_cast<unsigned>(groups), static_cast<unsigned>(given_.members),
                    static_cast<unsigned>(splits));
    return cudaLaunchKernel(kernel, grid, dim3(static_cast<unsigned>(threads)), arguments, static_cast<size_t>(shared),
                            stream_);
  }
  // One thread per element.
  cudaError_t over(Kernel kernel, int64_t elements) {
    return launch(kernel, task_, divide_up(elements, kThreads), 1, kThreads, 0);
  }

  cudaError_t map(const Task& task) {
    // Long lists keep many registers: one element at a time then, so that enough threads fit.
    const int64_t bytes = task.register_count * bytes_of(real_);
    const bool several = kMapWidth * bytes * 128 <= kSharedBytes;
    const int width = several ? kMapWidth : 1, threads = threads_that_fit(width * bytes, several ? 128 : kThreads);
    return launch(map_kernel(real_, wide(), several), task, divide_up(task.count, int64_t{width} * threads), 1, threads,
                  width * bytes * threads);
  }

  void take(const Cut& cut) {
    task_.lanes = cut.lanes;
    task_.splits = static_cast<int32_t>(cut.splits);
    task_.split_size = cut.split_size;
    task_.rows = cut.rows;
    task_.columns = cut.columns;
    task_.partials = static_cast<char*>(given_.scratch);
    task_.partials_member_bytes = cut.scratch_bytes;
    task_.tickets = given_.tickets;
    task_.member_tickets = cut.tickets;
  }

  cudaError_t reduction() {
    const Reduction kind = reduction_of(l_, given_.instrs);
    const Cut cut = reduction_cut(l_, real_);
    take(cut);
    const int64_t bytes = reduction_thread_bytes(kind, task_.register_count, bytes_of(real_));
    return launch(reduction_kernel(kind, real_, wide()), task_, cut.groups, cut.splits, cut.threads,
                  bytes * cut.threads);
  }

  cudaError_t contraction() {
    const Cut cut = cut_contraction(l_, bytes_of(real_));
    take(cut);
    task_.kept = cut.items * cut.rows * cut.columns;
    // Shared memory for the instructions of one element; a launch without any asks for none.
    const int64_t bytes = l_.instr_count > 0 ? l_.register_count * bytes_of(real_) : 0;
    if (cut.splits > 1) {
      const cudaError_t error =
          launch(contraction_kernel(l_.code, real_, cut.tile, false), task_, cut.groups, 1, cut.threads, 0);
      // A kernel of its own: the last block of a tile would add up many numbers per thread.
      const int threads = threads_that_fit(bytes, kThreads);
      return error != cudaSuccess ? error
                                  : launch(join_contraction_kernel(l_.code, real_, bytes > 0), task_,
                                           divide_up(task_.kept, threads), 1, threads, bytes * threads);
    }
    const Tile& tile = kTiles[cut.tile];
    const int64_t registers = bytes * tile.across * tile.threads;
    const bool fits = contraction_shared_bytes(tile, bytes_of(real_)) + registers <= kSharedBytes;
    const cudaError_t error = launch(contraction_kernel(l_.code, real_, cut.tile, bytes > 0 && fits), task_, cut.groups,
                                     1, cut.threads, fits ? registers : 0);
    return error != cudaSuccess || fits ? error : enqueue(MapBehind(given_).launch(), stream_);
  }

  cudaError_t narrow() {
    NarrowPacker one(stream_);
    const cudaError_t error = one.add(given_);
    return error == cudaSuccess ? one.flush() : error;
  }

  cudaError_t channels() {
    const Cut cut = cut_channels(l_, kChannelPartialBytes);
    take(cut);
    task_.reduced = l_.shape[0] * l_.shape[2];
    return launch(channel_kernel(l_.code, real_, l_.column), task_, cut.groups, cut.splits, cut.threads,
                  kChannelPartialBytes * cut.threads);
  }

  cudaError_t whole_channels() {
    const bool computes = l_.instr_count > 0;
    const int registers = computes ? std::max(l_.register_count, l_.operand_count - kNormInputs) : 0;
    const int64_t bytes = kChannelPartialBytes + registers * bytes_of(real_);
    const Cut cut = cut_whole_channels(l_, bytes);
    take(cut);
    task_.reduced = cut.split_size;
    return launch(whole_channel_kernel(l_.code, real_, computes, l_.column), task_, cut.groups, 1, cut.threads,
                  bytes * cut.threads);
  }

  cudaError_t rows(Kernel kernel) {
    const Cut cut = cut_rows(l_.shape[0], l_.shape[1]);
    task_.lanes = cut.lanes;
    task_.column = false;
    return launch(kernel, task_, cut.groups, 1, cut.threads, static_cast<int64_t>(sizeof(double)) * cut.threads);
  }

  cudaError_t layer_norm_sums() {
    const Cut cut = cut_columns(l_, bytes_of(real_));
    take(cut);
    const cudaError_t error = rows(layer_norm_kernel(l_.code, real_));
    if (error != cudaSuccess) return error;
    const cudaError_t sums = launch(layer_norm_sums_kernel(real_), task_, cut.groups, cut.splits, cut.threads, 0);
    return sums != cudaSuccess ? sums : over(join_layer_norm_sums_kernel(real_), l_.shape[1]);
  }

  cudaError_t attention(AttentionPass pass) {
    const Cut cut = cut_attention(l_, bytes_of(real_));
    take(cut);
    return launch(attention_kernel(pass, real_), task_, cut.groups, 1, cut.threads,
                  attention_elements(pass, cut.lanes, l_.shape[3]) * bytes_of(real_));
  }

  cudaError_t scatter_add() {
    const int axis = static_cast<int>(l_.ints[0]);
    Task zero = task_;
    zero.rank = 1;
    zero.count = 1;
    for (int d = 0; d < l_.rank; ++d) zero.count *= d == axis ? l_.ints[3] : l_.shape[d];
    zero.shape[0] = zero.count;
    zero.operands[0].strides[0] = 1;
    zero.operands[1].base = nullptr;
    zero.operands[1].value = 0;
    zero.operand_count = 2;
    zero.instr_count = zero.result_register = 0;
    zero.register_count = 1;
    const cudaError_t error = map(zero);
    if (error != cudaSuccess || task_.count == 0) return error;
    return over(scatter_add_kernel(real_), task_.count / l_.shape[axis]);
  }

  const DeviceLaunch& given_;
  const Launch& l_;
  const DType real_;
  const cudaStream_t stream_;
  Task task_;
};

// Where cuBLAS was found but does not open, a convolution for it is one for our own kernels.
Cut convolution_cut(const Launch& l, DType real) {
  if (way_of(l, real, false) == Way::narrow) return cut_narrow(l, bytes_of(real));
  Cut own = cut_contraction(l, bytes_of(real));
  if (way_of(l, real, cublas().available()) == Way::columns)
    own.scratch_bytes = std::max(own.scratch_bytes, cut_images(l, bytes_of(real)).scratch_bytes);
  return own;
}

// Of a launch whose kernels need memory of their own.
Cut cut_of(const Launch& l, DType real) {
  switch (l.code) {
    case LaunchCode::reduce_sum:
    case LaunchCode::reduce_max:
      return reduction_cut(l, real);
    case LaunchCode::matmul:
      return cut_contraction(l, bytes_of(real));
    case LaunchCode::conv2d:
    case LaunchCode::conv2d_input:
    case LaunchCode::conv2d_weight:
      return convolution_cut(l, real);
    case LaunchCode::batch_statistics:
    case LaunchCode::batch_norm_backward_sums:
      return cut_channels(l, kChannelPartialBytes);
    case LaunchCode::layer_norm_backward_sums:
      return cut_columns(l, bytes_of(real));
    case LaunchCode::attention_backward:
      return cut_attention(l, bytes_of(real));
    default:
      return {};
  }
}

}  // namespace

void prepare(Launch& l, DType real) {
  const Cut cut = cut_of(l, real);
  l.scratch_bytes = cut.scratch_bytes;
  l.tickets = cut.tickets;
}

cudaError_t enqueue(const DeviceLaunch& launch, cudaStream_t stream) { return Enqueuer(launch, stream).run(); }

void use_wide_indices(bool always) { always_wide = always; }

}  // namespace ptmz::cuda
