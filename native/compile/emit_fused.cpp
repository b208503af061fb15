// Fused nodes: one launch each.
#include <algorithm>

#include "compile/emit.h"

namespace ptmz {
namespace {

void copy_attributes(Launch& l, const Node& n) {
  std::copy(n.attrs.ints.begin() + 1, n.attrs.ints.end(), l.ints);
  std::copy(n.attrs.reals.begin(), n.attrs.reals.end(), l.reals);
}

// Inputs whose bit is set in `whole` are (N,C,...), as the output is unless it is (2,C); the others are per channel.
void emit_batch_norm(Emitter& e, NodeId id, LaunchCode code, unsigned whole) {
  const Node& n = e.graph[id];
  int64_t lanes = 0;
  bool ordered = false;
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    if (!(whole >> i & 1)) continue;
    lanes = std::max(lanes, e.lanes_of(n.inputs[i]));
    ordered = ordered || e.is_in_image_order(n.inputs[i]);
  }
  std::vector<View> inputs;
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    const NodeId input = n.inputs[i];
    inputs.push_back(!(whole >> i & 1) ? e.readable(input)
                     : lanes > 0       ? e.in_lanes(input, lanes)
                     : ordered         ? e.in_image_order(input)
                                       : e.dense(input));
  }
  const Shape& s = e.graph.shape(n.inputs[0]);
  const bool per_channel = code == LaunchCode::batch_statistics || code == LaunchCode::batch_norm_backward_sums;
  const int64_t pixels = element_count(s) / (s[0] * s[1]);
  Shape space{s[0], s[1], pixels};
  if (lanes > 0) space = {set_count(s[0], lanes), s[1], pixels * lanes};
  const bool last = ordered && e.order_of(s) == ImageOrder::channels_last;
  if (ordered) space = last ? Shape{s[0] * pixels, s[1], 1} : Shape{1, s[1], s[0] * pixels};
  Launch l = e.begin(code, id, e.varies[id], space);
  Emitter::operand(l, per_channel ? e.target(id) : ordered ? e.image_target(id) : e.target(id, lanes));
  for (const View& v : inputs) Emitter::operand(l, v);
  copy_attributes(l, n);
  l.column = last;
  l.ints[kLanesInt] = lanes;
  l.ints[kTailInt] = lanes > 0 ? s[0] % lanes : 0;
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
  copy_attributes(l, n);
  e.finish(l);
}

// Layer norm and the gradient of its input, over rows of D; the first `whole` inputs are shaped as the output.
void emit_layer_norm(Emitter& e, NodeId id, LaunchCode code, size_t whole) {
  const Node& n = e.graph[id];
  std::vector<View> inputs;
  for (size_t i = 0; i < n.inputs.size(); ++i) inputs.push_back(i < whole ? e.dense(n.inputs[i]) : e.view(n.inputs[i]));
  const int64_t columns = n.shape.back();
  Launch l = e.begin(code, id, e.varies[id], {element_count(n.shape) / columns, columns});
  const auto rows = [&](View v) {
    v.strides = {columns, 1};
    Emitter::operand(l, v);
  };
  rows(e.target(id));
  for (size_t i = 0; i < inputs.size(); ++i)
    i < whole ? rows(inputs[i])
              : Emitter::operand(l, inputs[i], {-1, static_cast<int64_t>(inputs[i].strides.size()) - 1});
  copy_attributes(l, n);
  e.finish(l);
}

void emit_layer_norm_sums(Emitter& e, NodeId id) {
  const Node& n = e.graph[id];
  const View g = e.dense(n.inputs[0]), x = e.dense(n.inputs[1]);
  const int64_t columns = n.shape.back();
  Launch l =
      e.begin(LaunchCode::layer_norm_backward_sums, id, e.varies[id], {element_count(g.shape) / columns, columns});
  copy_attributes(l, n);
  const View result = e.target(id);
  const int64_t parts = e.backend.partial_results(l);
  const View partial = parts > 1 ? e.new_value({parts, 2 * columns}, false, e.varies[id]) : result;
  l.ints[kPartsInt] = parts;
  for (const View* v : {&partial, &g, &x}) Emitter::operand(l, *v, {});
  e.finish(l);
  if (parts > 1) e.sum_parts(id, result, partial);
}

// Attention and its gradient, over (B,H,T,D). Rows of q, k and v are read where they lie, if their elements are
// neighbours.
void emit_attention(Emitter& e, NodeId id, LaunchCode code) {
  const Node& n = e.graph[id];
  const auto rows = [&](NodeId input) {
    const View v = e.readable(input);
    return v.strides.back() == 1 || v.shape.back() == 1 ? v : e.dense(input);
  };
  const View qkv = rows(n.inputs[0]);
  const Shape& s = qkv.shape;
  Launch l = e.begin(code, id, e.varies[id], {s[0], s[3], s[1], s[4]});
  // Whole (B,T,3,H,D): its part q, and the distance to k and to v beside the attributes.
  const auto packed = [&](const View& v, int at) {
    Emitter::operand(l, v, {0, 3, 1, 4});
    l.ints[at] = v.strides[2];
  };
  copy_attributes(l, n);
  const auto heads = [&](const View& v) { Emitter::operand(l, v, {0, 2, 1, 3}); };
  if (code == LaunchCode::attention) {
    heads(e.target(id));
    packed(qkv, 1);
  } else {
    const View u = rows(n.inputs[1]);
    packed(e.target(id), 2);
    packed(qkv, 1);
    heads(u);
  }
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
    case Fused::layer_norm:
      return emit_layer_norm(e, id, LaunchCode::layer_norm, 1);
    case Fused::layer_norm_backward_input:
      return emit_layer_norm(e, id, LaunchCode::layer_norm_backward_input, 2);
    case Fused::layer_norm_backward_sums:
      return emit_layer_norm_sums(e, id);
    case Fused::attention:
      return emit_attention(e, id, LaunchCode::attention);
    case Fused::attention_backward:
      return emit_attention(e, id, LaunchCode::attention_backward);
    default:
      throw Error("INTERNAL", std::string("no launch for fused ") + info(e.graph.fused(id)).name);
  }
}

}  // namespace ptmz
