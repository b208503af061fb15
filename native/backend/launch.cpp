// The names of launch codes.
#include "backend/launch.h"

#include <algorithm>
#include <iterator>

namespace ptmz {
namespace {

double elements(const Launch& l, int begin, int end) {
  double count = 1;
  for (int d = begin; d < end; ++d) count *= static_cast<double>(l.shape[d]);
  return count;
}

}  // namespace

const char* name(LaunchCode code) {
  static const char* const names[] = {"map",
                                      "reduce_sum",
                                      "reduce_max",
                                      "copy_index",
                                      "argmax",
                                      "iota",
                                      "random",
                                      "to_lanes",
                                      "from_lanes",
                                      "matmul",
                                      "conv2d",
                                      "conv2d_input",
                                      "conv2d_weight",
                                      "pool_argmax",
                                      "gather",
                                      "scatter_add",
                                      "softmax_cross_entropy",
                                      "softmax_cross_entropy_backward",
                                      "batch_statistics",
                                      "batch_norm",
                                      "batch_norm_add",
                                      "batch_norm_backward_sums",
                                      "batch_norm_backward_input",
                                      "batch_norm_training",
                                      "batch_norm_training_add",
                                      "batch_norm_backward",
                                      "layer_norm",
                                      "layer_norm_backward_input",
                                      "layer_norm_backward_sums",
                                      "attention",
                                      "attention_backward"};
  static_assert(std::size(names) == static_cast<size_t>(LaunchCode::count));
  return names[static_cast<int>(code)];
}

const char* name(Precision precision) {
  static const char* const names[] = {"float32", "tf32", "bf16"};
  return names[static_cast<int>(precision)];
}

int64_t element_count(const Launch& l) {
  int64_t count = 1;
  for (int32_t d = 0; d < l.rank; ++d) count *= l.shape[d];
  return count;
}

bool is_dense(const Launch& l, const Operand& o) {
  int64_t stride = 1;
  for (int32_t d = l.rank - 1; d >= 0; --d) {
    if (l.shape[d] != 1 && o.strides[d] != stride) return false;
    stride *= l.shape[d];
  }
  return true;
}

Launch map_behind(const Launch& matmul) {
  Launch map = matmul;
  map.code = LaunchCode::map;
  map.rank = 2;
  map.operand_count = matmul.operand_count - 1;
  map.operands[1] = matmul.operands[0];
  std::copy(matmul.operands + 3, matmul.operands + matmul.operand_count, map.operands + 2);
  return map;
}

double flops_of(const Launch& l) {
  switch (l.code) {
    case LaunchCode::matmul:
      return 2 * elements(l, 0, l.rank);
    case LaunchCode::conv2d:
    case LaunchCode::conv2d_input:
    case LaunchCode::conv2d_weight:
      return 2 * elements(l, 0, 2) * elements(l, 4, 7) / static_cast<double>(l.ints[6]) *
             static_cast<double>(l.ints[9] * l.ints[10]);
    default:
      return 0;
  }
}

double work_of(const Launch& l) {
  const double flops = flops_of(l);
  return flops > 0 ? flops : 30 * elements(l, 0, l.rank);
}

}  // namespace ptmz
