// Fused nodes: one launch each.
#include <algorithm>

#include "compile/emit.h"

namespace ptmz {
namespace {

// Inputs whose bit is set in `whole` are (N,C,...), as the output is unless it is (2,C); the others are per channel.
void emit_batch_norm(Emitter& e, NodeId id, LaunchCode code, unsigned whole) {
  const Node& n = e.graph[id];
  int64_t lanes = 0;
  for (size_t i = 0; i < n.inputs.size(); ++i)
    if (whole >> i & 1) lanes = std::max(lanes, e.lanes_of(n.inputs[i]));
  std::vector<View> inputs;
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    const NodeId input = n.inputs[i];
    inputs.push_back(!(whole >> i & 1) ? e.readable(input) : lanes > 0 ? e.in_lanes(input, lanes) : e.dense(input));
  }
  const Shape& s = e.graph.shape(n.inputs[0]);
  const int64_t outer = lanes > 0 ? s[0] / lanes : s[0];
  const bool per_channel = code == LaunchCode::batch_statistics || code == LaunchCode::batch_norm_backward_sums;
  Launch l = e.begin(code, id, e.varies[id], {outer, s[1], element_count(s) / (outer * s[1])});
  Emitter::operand(l, e.target(id, per_channel ? 0 : lanes));
  for (const View& v : inputs) Emitter::operand(l, v);
  std::copy(n.attrs.ints.begin() + 1, n.attrs.ints.end(), l.ints);
  std::copy(n.attrs.reals.begin(), n.attrs.reals.end(), l.reals);
  e.finish(l);
}

// Softmax cross-entropy and its gradient: one number or row per row of logits.
void emit_rows(Emitter& e, NodeId id, LaunchCode code) {
  const Node& n = e.graph[id];
  std::vector<View> inputs{e.readable(n.inputs[0])};
  for (size_t i = 1; i < n.inputs.size(); ++i) inputs.push_back(e.view(n.inputs[i]));
  Launch l = e.begin(code, id, e.varies[id], e.graph.shape(n.inputs[0]));
  Emitter::operand(l, e.target(id));
  for (const View& v : inputs) Emitter::operand(l, v);
  std::copy(n.attrs.ints.begin() + 1, n.attrs.ints.end(), l.ints);
  std::copy(n.attrs.reals.begin(), n.attrs.reals.end(), l.reals);
  e.finish(l);
}

}  // namespace

void emit_fused(Emitter& e, NodeId id) {
  switch (e.graph.fused(id)) {
    case Fused::softmax_cross_entropy:
      return emit_rows(e, id, LaunchCode::softmax_cross_entropy);
    case Fused::softmax_cross_entropy_backward:
      return emit_rows(e, id, LaunchCode::softmax_cross_entropy_backward);
    case Fused::batch_statistics:
      return emit_batch_norm(e, id, LaunchCode::batch_statistics, 0b1);
    case Fused::batch_norm:
      return emit_batch_norm(e, id, LaunchCode::batch_norm, 0b1);
    case Fused::batch_norm_add:
      return emit_batch_norm(e, id, LaunchCode::batch_norm_add, 0b10001);
    case Fused::batch_norm_backward_sums:
      return emit_batch_norm(e, id, LaunchCode::batch_norm_backward_sums, 0b11);
    case Fused::batch_norm_backward_input:
      return emit_batch_norm(e, id, LaunchCode::batch_norm_backward_input, 0b11);
    default:
      throw Error("INTERNAL", std::string("no launch for fused ") + info(e.graph.fused(id)).name);
  }
}

}  // namespace ptmz
