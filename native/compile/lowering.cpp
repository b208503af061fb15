// One emitter per kind of op: from nodes to launches. The short ones are here.
#include "compile/lowering.h"

#include <algorithm>

#include "compile/emit.h"

namespace ptmz {
namespace {

void emit_pool(Emitter& e, NodeId id) {
  const Node& n = e.graph[id];
  const View x = e.readable(n.inputs[0]);
  Launch l = e.begin(LaunchCode::pool_argmax, id, e.varies[id],
                     {x.shape[0], x.shape[1], x.shape[2], x.shape[3], n.shape[2], n.shape[3]});
  Emitter::operand(l, e.target(id));
  Emitter::operand(l, x);
  std::copy(n.attrs.ints.begin(), n.attrs.ints.end(), l.ints);
  e.finish(l);
}

void emit_indexed(Emitter& e, NodeId id, LaunchCode code) {
  const Node& n = e.graph[id];
  const View x = e.readable(n.inputs[0]), index = e.view(n.inputs[1]);
  Launch l = e.begin(code, id, e.varies[id], e.graph.shape(n.inputs[1]));
  Emitter::operand(l, e.target(id));
  Emitter::operand(l, x);
  Emitter::operand(l, index);
  std::copy(n.attrs.ints.begin(), n.attrs.ints.end(), l.ints);
  if (code == LaunchCode::gather) l.ints[3] = x.shape[n.attrs.ints[0]];
  e.finish(l);
}

void emit_pad(Emitter& e, NodeId id) {
  const Node& n = e.graph[id];
  const View from = e.view(n.inputs[0]), to = e.target(id);
  e.copy(id, to, {-1, false, false, 0, n.shape, Shape(n.shape.size(), 0), 0});
  View window = to;
  for (size_t d = 0; d < n.shape.size(); ++d) {
    window.offset += n.attrs.ints[d] * to.strides[d];
    window.strides[d] *= n.attrs.ints[2 * n.shape.size() + d] + 1;
  }
  window.shape = from.shape;
  e.copy(id, window, from);
}

void emit_concat(Emitter& e, NodeId id) {
  const Node& n = e.graph[id];
  const int64_t axis = n.attrs.ints[0];
  View window = e.target(id);
  for (NodeId i : n.inputs) {
    const View from = e.view(i);
    window.shape = from.shape;
    e.copy(id, window, from);
    window.offset += from.shape[axis] * window.strides[axis];
  }
}

void emit_random(Emitter& e, NodeId id) {
  const Node& n = e.graph[id];
  const View key = e.readable(n.inputs[0]);
  Launch l = e.begin(LaunchCode::random, id, e.varies[id], n.shape);
  Emitter::operand(l, e.target(id));
  Emitter::operand(l, key);
  std::copy(n.attrs.ints.begin(), n.attrs.ints.end(), l.ints);
  e.finish(l);
}

void emit_iota(Emitter& e, NodeId id) {
  Launch l = e.begin(LaunchCode::iota, id, e.varies[id], e.graph.shape(id));
  Emitter::operand(l, e.target(id));
  l.ints[0] = e.graph[id].attrs.ints[0];
  e.finish(l);
}

void emit(Emitter& e, NodeId id) {
  const Node& n = e.graph[id];
  if (info(n.op).elementwise) {
    if (e.groups.root[id] == id) emit_map(e, id);
    return;
  }
  switch (n.op) {
    case Op::sum:
    case Op::max:
    case Op::argmax:
      return emit_reduce(e, id);
    case Op::matmul:
      if (e.backend.maps_behind_products() && e.groups.is_absorbed(id)) return;  // the map's emitter does it
      return emit_matmul(e, id);
    case Op::conv2d:
    case Op::conv2d_input:
    case Op::conv2d_weight:
      return emit_conv(e, id);
    case Op::pool_argmax:
      return emit_pool(e, id);
    case Op::gather:
      return emit_indexed(e, id, LaunchCode::gather);
    case Op::scatter_add:
      return emit_indexed(e, id, LaunchCode::scatter_add);
    case Op::pad:
      return emit_pad(e, id);
    case Op::concat:
      return emit_concat(e, id);
    case Op::random:
      return emit_random(e, id);
    case Op::iota:
      return emit_iota(e, id);
    case Op::fused:
      return emit_fused(e, id);
    default:
      return;  // leaves and views cost nothing until somebody reads them
  }
}

}  // namespace

Lowered lower(const Graph& graph, const std::vector<NodeId>& live, const Groups& groups,
              const std::vector<bool>& varies, const std::vector<Output>& outputs, const std::vector<bool>& slot_varies,
              DType real, const Backend& backend) {
  Emitter e(graph, groups, varies, outputs, slot_varies, real, backend);
  for (NodeId id : live) {
    emit(e, id);
    e.write_outputs(id);
  }
  return e.take();
}

}  // namespace ptmz
