#include "compile/emitter.h"

#include <algorithm>

namespace ptmz {

Emitter::Emitter(const Graph& g, const Groups& members, const std::vector<bool>& by_node,
                 const std::vector<Output>& outputs, const std::vector<bool>& slot_varies, DType r, const Backend& b)
    : graph(g), groups(members), varies(by_node), real(r), backend(b), slot_varies_(slot_varies) {
  for (const Output& o : outputs) places_[o.node].push_back(o);
}

View Emitter::new_value(const Shape& shape, bool is_index, bool varies, int64_t lanes) {
  Shape stored = shape;
  if (lanes > 0) stored[0] = set_count(shape[0], lanes) * lanes;
  const int64_t bytes = element_count(stored) * (is_index ? 4 : real == DType::f64 ? 8 : 4);
  out_.values.push_back({bytes, varies});
  const int32_t buffer = kFirstValue + static_cast<int32_t>(out_.values.size()) - 1;
  return {buffer, varies, is_index, 0, shape, dense_strides(shape), 0, lanes};
}

View Emitter::target(NodeId id, int64_t lanes) {
  const Node& n = graph[id];
  const bool varies = this->varies[id];
  if (lanes > 0) return views_[id] = new_value(n.shape, false, varies, lanes);
  const auto places = places_.find(id);
  if (places != places_.end())
    for (Output& o : places->second) {
      if (slot_varies_[o.slot] != varies) continue;
      View view{2 + o.slot, varies, n.kind == Kind::index, o.offset, n.shape, dense_strides(n.shape)};
      o.slot = -1;  // written in place
      return views_[id] = view;
    }
  return views_[id] = new_value(n.shape, n.kind == Kind::index, varies);
}

int64_t Emitter::lanes_of(NodeId id) const {
  const auto found = views_.find(id);
  return found == views_.end() ? 0 : found->second.lanes;
}

View Emitter::in_lanes(NodeId id, int64_t lanes) {
  if (lanes_of(id) == lanes) return views_.at(id);
  const auto found = lane_copies_.find(id);
  if (found != lane_copies_.end()) return found->second;
  const View source = dense(id);
  const View copy = new_value(source.shape, false, source.varies, lanes);
  reorder(LaunchCode::to_lanes, id, copy, source, lanes);
  return lane_copies_[id] = copy;
}

View Emitter::image_target(NodeId id) {
  const Shape& shape = graph[id].shape;
  View view = new_value(shape, false, varies[id]);
  view.strides = image_strides(shape, order_of(shape));
  image_values_.insert(id);
  return views_[id] = view;
}

View Emitter::in_order(NodeId id, ImageOrder order) {
  View source = order == ImageOrder::as_written ? dense(id) : view(id);
  const Shape strides = image_strides(source.shape, order);
  if (source.buffer >= 0 && has_strides(source, strides)) {
    source.strides = strides;  // those of axes of size 1, too: a single channel is a row
    return source;
  }
  const auto found = order_copies_.find({id, order});
  if (found != order_copies_.end()) return found->second;
  View to = new_value(source.shape, false, source.varies);
  to.strides = strides;
  copy(id, to, source);
  return order_copies_[{id, order}] = to;
}

View Emitter::in_planes(NodeId id) {
  const View& v = view(id);
  const bool planes = order_of(v.shape) == ImageOrder::channels_outermost && v.shape[1] > 1;
  return planes && v.buffer >= 0 && is_dense(v) ? in_order(id, ImageOrder::as_written) : in_image_order(id);
}

View Emitter::weight_target(NodeId id, ImageOrder order) {
  const Shape& shape = graph[id].shape;
  const Shape strides = image_strides(shape, order);
  if (has_strides({.shape = shape, .strides = dense_strides(shape)}, strides)) return target(id);
  View view = new_value(shape, false, varies[id]);
  view.strides = strides;
  return views_[id] = view;
}

View Emitter::split_view(NodeId id, int64_t lanes) {
  if (lanes_of(id) == lanes) return split(views_.at(id), lanes);
  const View& plain = view(id);
  bool whole = plain.buffer >= 0;
  for (size_t d = 0; d < plain.shape.size(); ++d) whole = whole && (plain.shape[d] == 1 || plain.strides[d] != 0);
  const bool leaves = plain.shape[0] % lanes != 0 && plain.strides[0] != 0;
  return split(whole || leaves ? in_lanes(id, lanes) : plain, lanes);
}

const View& Emitter::view(NodeId id) {
  const auto found = views_.find(id);
  if (found != views_.end()) return found->second.lanes > 0 ? from_lanes(id) : found->second;
  const Node& n = graph[id];
  const auto strides = dense_strides(n.shape);
  switch (n.op) {
    case Op::input:
    case Op::param:
      return views_[id] = {2 + static_cast<int32_t>(n.attrs.ints[0]),
                           this->varies[id],
                           n.kind == Kind::index,
                           n.attrs.ints[1],
                           n.shape,
                           strides};
    case Op::constant:
      return views_[id] = {-1, false, false, 0, n.shape, Shape(n.shape.size(), 0), n.attrs.reals[0]};
    case Op::permute:
      return views_[id] = permuted(view(n.inputs[0]), n.attrs.ints);
    case Op::expand:
      return views_[id] = expanded(view(n.inputs[0]), n.shape);
    case Op::slice:
      return views_[id] = sliced(view(n.inputs[0]), n.attrs.ints);
    case Op::reshape: {
      if (const auto direct = reshaped(view(n.inputs[0]), n.shape)) return views_[id] = *direct;
      return views_[id] = *reshaped(dense(n.inputs[0]), n.shape);
    }
    default:
      throw Error("INTERNAL", std::string("lowering met an unemitted ") + info(n.op).name);
  }
}

const View& Emitter::from_lanes(NodeId id) {
  const auto found = copies_.find(id);
  if (found != copies_.end()) return found->second;
  const View source = views_.at(id);
  const View copy = new_value(source.shape, false, source.varies);
  reorder(LaunchCode::from_lanes, id, copy, source, source.lanes);
  return copies_[id] = copy;
}

View Emitter::dense(NodeId id) {
  const View& v = view(id);
  if (v.buffer >= 0 && is_dense(v)) return v;
  const auto found = copies_.find(id);
  if (found != copies_.end()) return found->second;
  const View source = v;
  const View to = new_value(source.shape, source.is_index, source.varies);
  copy(id, to, source);
  return copies_[id] = to;
}

Launch Emitter::begin(LaunchCode code, NodeId node, bool varies, const Shape& space) {
  Launch l{};
  l.code = code;
  l.varies = varies;
  l.node = node;
  l.rank = l.kept_rank = static_cast<int32_t>(space.size());
  for (size_t i = 0; i < space.size(); ++i) l.shape[i] = space[i];
  l.instr_begin = static_cast<int32_t>(out_.instrs.size());
  return l;
}

void Emitter::operand(Launch& l, const View& v, const std::vector<int64_t>& axes) {
  Operand& o = l.operands[l.operand_count++];
  o = {v.buffer, v.varies, v.is_index, v.offset, {}, v.value};
  for (size_t d = 0; d < axes.size(); ++d) o.strides[d] = axes[d] < 0 ? 0 : v.strides[axes[d]];
}
void Emitter::operand(Launch& l, const View& v) {
  Operand& o = l.operands[l.operand_count++];
  o = {v.buffer, v.varies, v.is_index, v.offset, {}, v.value};
  for (size_t d = 0; d < v.strides.size(); ++d) o.strides[d] = v.strides[d];
}

void Emitter::copy(NodeId node, const View& to, const View& from) {
  const bool varies = to.varies;
  Launch l = begin(from.is_index ? LaunchCode::copy_index : LaunchCode::map, node, varies, to.shape);
  operand(l, to);
  operand(l, from);
  l.register_count = 1;
  collapse(l);
  finish(l);
}

void Emitter::sum_parts(NodeId node, const View& to, const View& parts) {
  Launch l = begin(LaunchCode::reduce_sum, node, to.varies, {parts.shape[1], parts.shape[0]});
  l.kept_rank = 1;
  View row = to;
  row.strides = {1, 0};
  operand(l, row);
  operand(l, parts, {1, 0});
  l.register_count = 1;
  l.column = true;
  finish(l);
}

void Emitter::reorder(LaunchCode code, NodeId node, const View& to, const View& from, int64_t lanes) {
  const Shape& s = to.shape;
  Launch l = begin(code, node, to.varies, {s[0], element_count(s) / s[0]});
  operand(l, to, {0, 3});
  operand(l, from, {0, 3});
  l.ints[kLanesInt] = lanes;
  finish(l);
}

View Emitter::readable(NodeId id) {
  const View v = view(id);
  return v.buffer >= 0 ? v : dense(id);
}

void Emitter::write_outputs(NodeId id) {
  const auto places = places_.find(id);
  if (places == places_.end()) return;
  const Node& n = graph[id];
  for (const Output& o : places->second) {
    if (o.slot < 0) continue;
    const View from = view(id);
    copy(id, {2 + o.slot, slot_varies_[o.slot], n.kind == Kind::index, o.offset, n.shape, dense_strides(n.shape)},
         from);
  }
}

}  // namespace ptmz
