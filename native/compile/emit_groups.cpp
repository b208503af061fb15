// Elementwise groups, and the reductions that take one in.
#include <algorithm>
#include <set>

#include "compile/emit.h"

namespace ptmz {
namespace {

// The lanes that a launch of these members should walk in: those of what it reads.
int64_t lanes_of_group(Emitter& e, const std::vector<NodeId>& members, NodeId result) {
  int64_t lanes = e.lanes_of(result);
  for (NodeId id : members)
    for (NodeId i : e.graph[id].inputs) lanes = std::max(lanes, e.lanes_of(i));
  return lanes;
}

// Whether such a launch should walk images in their order.
bool walks_images(Emitter& e, const std::vector<NodeId>& members, NodeId result) {
  const Shape& shape = e.graph.shape(result);
  const auto counts = [&](NodeId id) { return e.is_in_image_order(id) && e.graph.shape(id) == shape; };
  if (counts(result)) return true;
  for (NodeId id : members)
    for (NodeId i : e.graph[id].inputs)
      if (counts(i)) return true;
  return false;
}

// How a launch sees what its group reads: along `axes`, or as it is; in lanes, all sets or a slice of them; or behind a
// matrix product, which is register 0, in that one's shape.
struct Reading {
  const std::vector<int64_t>* axes = nullptr;
  int64_t lanes = 0;
  const std::vector<int64_t>* slice = nullptr;  // of (sets,C,H,W,lanes), as sliced() takes it
  const Groups::Product* product = nullptr;
};

View read(Emitter& e, NodeId id, const Reading& how) {
  if (how.product) return *reshaped(e.view(id), e.graph.shape(how.product->node));
  if (how.lanes == 0) return e.view(id);
  const View v = e.split_view(id, how.lanes);
  return how.slice ? sliced(v, *how.slice) : v;
}

// What the instructions of a group compute. A negation that nothing but one addition reads is none of them: that
// addition subtracts.
class Instructions {
 public:
  Instructions(const Graph& graph, const std::vector<NodeId>& group, NodeId result) : graph_(graph) {
    std::map<NodeId, int> readers;
    for (NodeId id : group)
      for (NodeId i : graph[id].inputs) ++readers[i];
    const auto folds = [&](NodeId id) {
      return graph[id].op == Op::neg && id != result && readers[id] == 1 &&
             std::binary_search(group.begin(), group.end(), id);
    };
    std::set<NodeId> folded;
    for (NodeId id : group) {
      if (graph[id].op != Op::add) continue;
      const std::vector<NodeId>& terms = graph[id].inputs;
      for (size_t i = 0; i < 2 && !subtracted_.count(id); ++i) {
        if (!folds(terms[i])) continue;
        subtracted_[id] = {terms[1 - i], graph[terms[i]].inputs[0]};
        folded.insert(terms[i]);
      }
    }
    for (NodeId id : group)
      if (!folded.count(id)) members.push_back(id);
  }
  bool subtracts(NodeId id) const { return subtracted_.count(id) > 0; }
  const std::vector<NodeId>& inputs(NodeId id) const {
    const auto terms = subtracted_.find(id);
    return terms == subtracted_.end() ? graph_[id].inputs : terms->second;
  }

  std::vector<NodeId> members;  // ascending

 private:
  const Graph& graph_;
  std::map<NodeId, std::vector<NodeId>> subtracted_;  // minuend and subtrahend of additions that subtract
};

// Appends the group's instructions; `l` gets one operand per value read from outside. Returns the result's register.
// Temporaries take the lowest free register, so that a long chain keeps few blocks in the first-level cache.
void emit_group(Emitter& e, Launch& l, const std::vector<NodeId>& group, NodeId result, const Reading& how) {
  const Instructions instructions(e.graph, group, result);
  const std::vector<NodeId>& members = instructions.members;
  const Groups::Product* product = how.product;
  std::map<NodeId, int> reads, last_use;
  std::vector<NodeId> order;
  if (product) order.push_back(product->read), reads[product->read] = 0;
  for (NodeId id : members)
    for (NodeId i : instructions.inputs(id)) {
      last_use[i] = id;
      if (std::binary_search(members.begin(), members.end(), i) || reads.count(i)) continue;
      reads[i] = static_cast<int>(order.size());
      order.push_back(i);
    }
  if (members.empty()) order.push_back(result), reads[result] = 0;
  for (NodeId i : order) {
    if (product && i == product->read) continue;
    const View v = read(e, i, how);
    how.axes ? Emitter::operand(l, v, *how.axes) : Emitter::operand(l, v);
  }

  std::map<NodeId, int> where = reads;
  std::vector<bool> busy(order.size(), true);
  for (NodeId id : members) {
    const Node& n = e.graph[id];
    int reg = static_cast<int>(std::find(busy.begin(), busy.end(), false) - busy.begin());
    if (reg == static_cast<int>(busy.size())) busy.push_back(true);
    busy[reg] = true;
    Instr instr{};
    instr.op = static_cast<uint8_t>(n.op);
    if (n.op == Op::compare) instr.comparison = static_cast<uint8_t>(n.attrs.ints[0]);
    if (n.op == Op::pow) instr.value = n.attrs.reals[0];
    instr.out = static_cast<uint8_t>(reg);
    uint8_t* args[] = {&instr.a, &instr.b, &instr.c};
    const std::vector<NodeId>& inputs = instructions.inputs(id);
    for (size_t i = 0; i < inputs.size(); ++i) *args[i] = static_cast<uint8_t>(where.at(inputs[i]));
    instr.subtracts = instructions.subtracts(id);
    e.instruction(instr);
    where[id] = reg;
    for (NodeId i : inputs)
      if (last_use[i] == id && !reads.count(i)) busy[where[i]] = false;
  }
  l.instr_count = static_cast<int32_t>(members.size());
  l.register_count = static_cast<int32_t>(busy.size());
  l.result_register = where.at(result);
}

// Whether the axis with the smallest stride, in the input that moves along most axes, is a kept one.
bool innermost_is_kept(const Launch& l) {
  int best = -1, best_axes = 0;
  for (int32_t i = 1; i < l.operand_count; ++i) {
    int axes = 0;
    for (int32_t d = 0; d < l.rank; ++d) axes += l.operands[i].buffer >= 0 && l.operands[i].strides[d] != 0;
    if (axes > best_axes) best = i, best_axes = axes;
  }
  if (best < 0) return false;
  int32_t innermost = -1;
  for (int32_t d = 0; d < l.rank; ++d) {
    const int64_t stride = l.operands[best].strides[d];
    if (stride != 0 && (innermost < 0 || stride < l.operands[best].strides[innermost])) innermost = d;
  }
  return innermost < l.kept_rank;
}

// Emits the map as part of the product that it alone reads, or that product by itself where an operand of the map
// cannot be seen in its shape.
bool emit_behind_product(Emitter& e, NodeId id, const std::vector<NodeId>& members, const Groups::Product& product) {
  const Shape& shape = e.graph.shape(product.node);
  bool fits = lanes_of_group(e, members, id) == 0;
  for (NodeId member : members)
    for (NodeId i : e.graph[member].inputs) {
      if (i == product.read || std::binary_search(members.begin(), members.end(), i)) continue;
      fits = fits && reshaped(e.view(i), shape).has_value();
    }
  if (!fits) {
    emit_matmul(e, product.node);
    return false;
  }
  Launch l = matmul_launch(e, product.node, *reshaped(e.target(id), shape));
  l.node = id;
  const std::vector<int64_t> axes{0, 1};
  emit_group(e, l, members, id, {.axes = &axes, .product = &product});
  e.finish(l);
  return true;
}

}  // namespace

void emit_map(Emitter& e, NodeId id) {
  const std::vector<NodeId>& members = e.groups.members.at(id);
  const auto product = e.groups.products.find(id);
  if (product != e.groups.products.end() && e.backend.maps_behind_products() &&
      emit_behind_product(e, id, members, product->second))
    return;
  if (walks_images(e, members, id)) {
    const View to = e.image_target(id);
    const std::vector<int64_t>& axes = image_axes(e.order_of(to.shape));
    Launch l = e.begin(LaunchCode::map, id, e.varies[id], permuted(to, axes).shape);
    Emitter::operand(l, to, axes);
    emit_group(e, l, members, id, {.axes = &axes});
    collapse(l);
    return e.finish(l);
  }
  const int64_t lanes = lanes_of_group(e, members, id);
  const View to = e.target(id, lanes);
  const View out = lanes > 0 ? split(to, lanes) : to;
  Launch l = e.begin(LaunchCode::map, id, e.varies[id], out.shape);
  Emitter::operand(l, out);
  emit_group(e, l, members, id, {.lanes = lanes});
  collapse(l);
  e.finish(l);
}

namespace {

// Which axes of (sets,C,H,W,lanes), or of a plain tensor, a reduction walks: kept ones in the order of the output, then
// reduced ones.
struct ReducedAxes {
  std::vector<int64_t> order;
  int32_t kept;
  bool images;  // whether images are joined
};
ReducedAxes reduced_axes(const Node& n, size_t rank, int64_t lanes, const std::vector<int64_t>* images) {
  std::vector<bool> reduced(rank);
  for (int64_t axis : n.attrs.ints) reduced[axis] = true;
  std::vector<int64_t> all;
  for (size_t d = 0; d < rank; ++d) all.push_back(static_cast<int64_t>(d));
  if (lanes > 0) {
    reduced.push_back(reduced[0]);
    // Images lie next to each other in a plain output, and pixels of an image in the lanes of the input.
    all = reduced[0] ? std::vector<int64_t>{0, 1, 2, 3, 4} : std::vector<int64_t>{0, 4, 1, 2, 3};
  }
  ReducedAxes axes{};
  axes.images = rank > 0 && reduced[0];
  for (int pass = 0; pass < 2; ++pass) {
    for (int64_t d : pass == 1 && images != nullptr ? *images : all)
      if (reduced[d] == (pass == 1)) axes.order.push_back(d);
  }
  axes.kept = static_cast<int32_t>(std::count(reduced.begin(), reduced.end(), false));
  return axes;
}

// One launch that reduces what `how` reads of (`walked`) into `out`, which has an axis for each of these.
void emit_reduction(Emitter& e, NodeId id, const View& out, const Shape& walked, const ReducedAxes& axes,
                    const std::vector<NodeId>& members, const Reading& how) {
  const Node& n = e.graph[id];
  Shape space;
  for (int64_t d : axes.order) space.push_back(walked[d]);
  const LaunchCode code = n.op == Op::sum   ? LaunchCode::reduce_sum
                          : n.op == Op::max ? LaunchCode::reduce_max
                                            : LaunchCode::argmax;
  Launch l = e.begin(code, id, e.varies[id], space);
  l.kept_rank = axes.kept;
  Emitter::operand(l, out, axes.order);
  for (int32_t d = l.kept_rank; d < l.rank; ++d) l.operands[0].strides[d] = 0;
  if (n.op == Op::argmax) {
    Emitter::operand(l, e.view(n.inputs[0]), axes.order);
  } else {
    emit_group(e, l, members, n.inputs[0], how);
  }
  collapse(l);
  l.column = innermost_is_kept(l);
  e.finish(l);
}

// Where the last set has lanes without an image: the full sets are one launch, the images of the last one another.
void emit_reduction_with_tail(Emitter& e, NodeId id, const View& to, const Shape& full, const ReducedAxes& axes,
                              const std::vector<NodeId>& members, int64_t lanes) {
  const int64_t sets = full[0] / lanes, tail = full[0] % lanes;
  // If images are joined, each launch has its own part of the result.
  const bool parts = axes.images && sets > 0;
  const View partial = parts ? e.new_value({2, element_count(to.shape)}, false, to.varies) : to;
  for (const int64_t part : {0, 1}) {
    const int64_t first = part * sets, count = part == 0 ? sets : 1, width = part == 0 ? lanes : tail;
    if (count == 0) continue;
    const Shape walked{count, full[1], full[2], full[3], width};
    const std::vector<int64_t> slice{first, 0, 0, 0, 0, first + count, full[1], full[2], full[3], width, 1, 1, 1, 1, 1};
    View out = to;
    if (parts) {
      out = sliced(partial, {part, 0, part + 1, partial.shape[1], 1, 1});
      out.shape = to.shape;
      out.strides = dense_strides(to.shape);
    }
    out = split(out, lanes);
    if (!axes.images) out = sliced(out, slice);
    emit_reduction(e, id, out, walked, axes, members, {.axes = &axes.order, .lanes = lanes, .slice = &slice});
  }
  if (parts) e.sum_parts(id, to, partial);
}

}  // namespace

void emit_reduce(Emitter& e, NodeId id) {
  const Node& n = e.graph[id];
  const auto found = e.groups.members.find(id);
  const std::vector<NodeId> members = found == e.groups.members.end() ? std::vector<NodeId>{} : found->second;
  const int64_t lanes = n.op == Op::argmax ? 0 : lanes_of_group(e, members, n.inputs[0]);
  const Shape& full = e.graph.shape(n.inputs[0]);
  const bool images = n.op != Op::argmax && walks_images(e, members, n.inputs[0]);
  const ReducedAxes axes = reduced_axes(n, full.size(), lanes, images ? &image_axes(e.order_of(full)) : nullptr);
  const View to = e.target(id);
  if (lanes == 0) {
    emit_reduction(e, id, to, full, axes, members, {.axes = &axes.order});
  } else if (full[0] % lanes != 0 && !(n.op == Op::max && axes.images)) {
    emit_reduction_with_tail(e, id, to, full, axes, members, lanes);
  } else {
    // An image that is repeated changes no maximum.
    const Shape walked{set_count(full[0], lanes), full[1], full[2], full[3], lanes};
    emit_reduction(e, id, split(to, lanes), walked, axes, members, {.axes = &axes.order, .lanes = lanes});
  }
}

}  // namespace ptmz
