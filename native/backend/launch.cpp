// The names of launch codes.
#include "backend/launch.h"

#include <iterator>

namespace ptmz {

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
                                      "layer_norm",
                                      "layer_norm_backward_input",
                                      "layer_norm_backward_sums",
                                      "attention",
                                      "attention_backward"};
  static_assert(std::size(names) == static_cast<size_t>(LaunchCode::count));
  return names[static_cast<int>(code)];
}

}  // namespace ptmz
