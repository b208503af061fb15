// One emitter per kind of op: from nodes to launches.
#include "compile/lowering.h"

#include <algorithm>
#include <map>

#include "compile/view.h"

namespace ptmz {
namespace {

// Floating-point operations from which a convolution is worth a layout of its own.
constexpr double kLeastLanesWork = 1e5;

class Lowering {
 public:
  Lowering(const Graph& graph, const Groups& groups, const std::vector<bool>& varies,
           const std::vector<Output>& outputs, const std::vector<bool>& slot_varies, DType real, const Backend& backend)
      : graph_(graph),
        groups_(groups),
        varies_(varies),
        slot_varies_(slot_varies),
        real_(real),
        backend_(backend),
        real_bytes_(real == DType::f64 ? 8 : 4) {
    for (const Output& o : outputs) places_[o.node].push_back(o);
  }

  Lowered run(const std::vector<NodeId>& live) {
    for (NodeId id : live) {
      emit(id);
      write_outputs(id);
    }
    return std::move(out_);
  }

 private:
  // ---- values and views

  View new_value(const Shape& shape, bool is_index, bool varies) {
    const int64_t bytes = element_count(shape) * (is_index ? 4 : real_bytes_);
    out_.values.push_back({bytes, varies});
    return {
        kFirstValue + static_cast<int32_t>(out_.values.size()) - 1, varies, is_index, 0, shape, dense_strides(shape)};
  }

  // Where a launch that computes node `id` densely should write: its output slot if it can, else a new value.
  View target(NodeId id, int64_t lanes = 0) {
    const Node& n = graph_[id];
    const bool varies = varies_[id];
    if (lanes > 0) {
      View view = new_value(n.shape, false, varies);
      view.lanes = lanes;
      return views_[id] = view;
    }
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

  // The lanes in which node `id` was computed; 0: it is plain, or a view.
  int64_t lanes_of(NodeId id) const {
    const auto found = views_.find(id);
    return found == views_.end() ? 0 : found->second.lanes;
  }

  // The value of `id` in lanes: itself, or a copy made once.
  View in_lanes(NodeId id, int64_t lanes) {
    if (lanes_of(id) == lanes) return views_.at(id);
    const auto found = lane_copies_.find(id);
    if (found != lane_copies_.end()) return found->second;
    const View source = dense(id);
    View copy = new_value(source.shape, false, source.varies);
    copy.lanes = lanes;
    emit_reorder(LaunchCode::to_lanes, id, copy, source, lanes);
    return lane_copies_[id] = copy;
  }

  // The value of `id` for a launch over (N/lanes,C,H,W,lanes). Whole tensors come in lanes, broadcasts as they are.
  View split_view(NodeId id, int64_t lanes) {
    if (lanes_of(id) == lanes) return split(views_.at(id), lanes);
    const View& plain = view(id);
    bool whole = plain.buffer >= 0;
    for (size_t d = 0; d < plain.shape.size(); ++d) whole = whole && (plain.shape[d] == 1 || plain.strides[d] != 0);
    return split(whole ? in_lanes(id, lanes) : plain, lanes);
  }

  // Where and how the value of `id` can be read by strides.
  const View& view(NodeId id) {
    const auto found = views_.find(id);
    if (found != views_.end()) return found->second.lanes > 0 ? from_lanes(id) : found->second;
    const Node& n = graph_[id];
    const auto strides = dense_strides(n.shape);
    switch (n.op) {
      case Op::input:
      case Op::param:
        return views_[id] = {2 + static_cast<int32_t>(n.attrs.ints[0]),
                             varies_[id],
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

  const View& from_lanes(NodeId id) {
    const auto found = copies_.find(id);
    if (found != copies_.end()) return found->second;
    const View source = views_.at(id);
    const View copy = new_value(source.shape, false, source.varies);
    emit_reorder(LaunchCode::from_lanes, id, copy, source, source.lanes);
    return copies_[id] = copy;
  }

  // The value of `id` row-major in memory: itself, or a copy made once.
  View dense(NodeId id) {
    const View& v = view(id);
    if (v.buffer >= 0 && is_dense(v)) return v;
    const auto found = copies_.find(id);
    if (found != copies_.end()) return found->second;
    const View source = v;
    const View copy = new_value(source.shape, source.is_index, source.varies);
    emit_copy(id, copy, source);
    return copies_[id] = copy;
  }

  // ---- launches

  Launch begin(LaunchCode code, NodeId node, bool varies, const Shape& space) {
    Launch l{};
    l.code = code;
    l.varies = varies;
    l.node = node;
    l.rank = l.kept_rank = static_cast<int32_t>(space.size());
    for (size_t i = 0; i < space.size(); ++i) l.shape[i] = space[i];
    l.instr_begin = static_cast<int32_t>(out_.instrs.size());
    return l;
  }

  // `axes[d]`: which axis of the view the iteration axis d walks; -1: none.
  static void operand(Launch& l, const View& v, const std::vector<int64_t>& axes) {
    Operand& o = l.operands[l.operand_count++];
    o = {v.buffer, v.varies, v.is_index, v.offset, {}, v.value};
    for (size_t d = 0; d < axes.size(); ++d) o.strides[d] = axes[d] < 0 ? 0 : v.strides[axes[d]];
  }
  static void operand(Launch& l, const View& v) {
    Operand& o = l.operands[l.operand_count++];
    o = {v.buffer, v.varies, v.is_index, v.offset, {}, v.value};
    for (size_t d = 0; d < v.strides.size(); ++d) o.strides[d] = v.strides[d];
  }

  void finish(const Launch& l) { (l.varies ? out_.varying : out_.shared).push_back(l); }

  void emit_copy(NodeId node, const View& to, const View& from) {
    const bool varies = to.varies;
    Launch l = begin(from.is_index ? LaunchCode::copy_index : LaunchCode::map, node, varies, to.shape);
    operand(l, to);
    operand(l, from);
    l.register_count = 1;
    collapse(l);
    finish(l);
  }

  void emit_reorder(LaunchCode code, NodeId node, const View& to, const View& from, int64_t lanes) {
    const Shape& s = to.shape;
    Launch l = begin(code, node, to.varies, {s[0], element_count(s) / s[0]});
    operand(l, to, {0, 3});
    operand(l, from, {0, 3});
    l.ints[kLanesInt] = lanes;
    finish(l);
  }

  // ---- elementwise groups

  // The lanes that a launch of these members should walk in: those of what it reads.
  int64_t lanes_of_group(const std::vector<NodeId>& members, NodeId result) const {
    int64_t lanes = lanes_of(result);
    for (NodeId id : members)
      for (NodeId i : graph_[id].inputs) lanes = std::max(lanes, lanes_of(i));
    return lanes;
  }

  // Appends the group's instructions; `l` gets one operand per value read from outside. Returns the result's register.
  // Temporaries take the lowest free register, so that a long chain keeps few blocks in the first-level cache.
  void emit_group(Launch& l, const std::vector<NodeId>& members, NodeId result, int64_t lanes,
                  const std::vector<int64_t>* axes) {
    std::map<NodeId, int> reads, last_use;
    std::vector<NodeId> order;
    for (NodeId id : members)
      for (NodeId i : graph_[id].inputs) {
        last_use[i] = id;
        if (std::binary_search(members.begin(), members.end(), i) || reads.count(i)) continue;
        reads[i] = static_cast<int>(order.size());
        order.push_back(i);
      }
    if (members.empty()) order.push_back(result), reads[result] = 0;
    for (NodeId i : order) {
      const View v = lanes > 0 ? split_view(i, lanes) : view(i);
      axes ? operand(l, v, *axes) : operand(l, v);
    }

    std::map<NodeId, int> where = reads;
    std::vector<bool> busy(order.size(), true);
    for (NodeId id : members) {
      const Node& n = graph_[id];
      int reg = static_cast<int>(std::find(busy.begin(), busy.end(), false) - busy.begin());
      if (reg == static_cast<int>(busy.size())) busy.push_back(true);
      busy[reg] = true;
      Instr instr{};
      instr.op = static_cast<uint8_t>(n.op);
      if (n.op == Op::compare) instr.comparison = static_cast<uint8_t>(n.attrs.ints[0]);
      if (n.op == Op::pow) instr.value = n.attrs.reals[0];
      instr.out = static_cast<uint8_t>(reg);
      uint8_t* args[] = {&instr.a, &instr.b, &instr.c};
      for (size_t i = 0; i < n.inputs.size(); ++i) *args[i] = static_cast<uint8_t>(where.at(n.inputs[i]));
      out_.instrs.push_back(instr);
      where[id] = reg;
      for (NodeId i : n.inputs)
        if (last_use[i] == id && !reads.count(i)) busy[where[i]] = false;
    }
    l.instr_count = static_cast<int32_t>(members.size());
    l.register_count = static_cast<int32_t>(busy.size());
    l.result_register = where.at(result);
  }

  void emit_map(NodeId id) {
    const std::vector<NodeId>& members = groups_.members.at(id);
    const int64_t lanes = lanes_of_group(members, id);
    const View to = target(id, lanes);
    const View out = lanes > 0 ? split(to, lanes) : to;
    Launch l = begin(LaunchCode::map, id, varies_[id], out.shape);
    operand(l, out);
    emit_group(l, members, id, lanes, nullptr);
    collapse(l);
    finish(l);
  }

  // Iteration space of a reduction: kept axes in the order of the output, then reduced ones.
  void emit_reduce(NodeId id) {
    const Node& n = graph_[id];
    const auto found = groups_.members.find(id);
    const std::vector<NodeId> members = found == groups_.members.end() ? std::vector<NodeId>{} : found->second;
    const int64_t lanes = n.op == Op::argmax ? 0 : lanes_of_group(members, n.inputs[0]);
    const View to = target(id);
    const View out = lanes > 0 ? split(to, lanes) : to;
    const Shape& full = graph_.shape(n.inputs[0]);
    std::vector<bool> reduced(full.size());
    for (int64_t axis : n.attrs.ints) reduced[axis] = true;
    Shape walked = full;
    std::vector<int64_t> order;
    for (size_t d = 0; d < full.size(); ++d) order.push_back(static_cast<int64_t>(d));
    if (lanes > 0) {
      reduced.push_back(reduced[0]);
      walked[0] /= lanes;
      walked.push_back(lanes);
      // Images lie next to each other in a plain output, and pixels of an image in the lanes of the input.
      order = reduced[0] ? std::vector<int64_t>{0, 1, 2, 3, 4} : std::vector<int64_t>{0, 4, 1, 2, 3};
    }
    std::vector<int64_t> axes;
    Shape space;
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t d : order)
        if (reduced[d] == (pass == 1)) {
          axes.push_back(d);
          space.push_back(walked[d]);
        }
    const LaunchCode code = n.op == Op::sum   ? LaunchCode::reduce_sum
                            : n.op == Op::max ? LaunchCode::reduce_max
                                              : LaunchCode::argmax;
    Launch l = begin(code, id, varies_[id], space);
    l.kept_rank = static_cast<int32_t>(std::count(reduced.begin(), reduced.end(), false));
    operand(l, out, axes);
    for (int32_t d = l.kept_rank; d < l.rank; ++d) l.operands[0].strides[d] = 0;
    if (n.op == Op::argmax) {
      operand(l, view(n.inputs[0]), axes);
    } else {
      emit_group(l, members, n.inputs[0], lanes, &axes);
    }
    collapse(l);
    l.column = innermost_is_kept(l);
    finish(l);
  }

  // Whether the axis with the smallest stride, in the input that moves along most axes, is a kept one.
  static bool innermost_is_kept(const Launch& l) {
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

  // ---- contractions

  // A matrix that the kernel can read: one unit stride, the other at least the length of a row. `rows`, `cols`: axes.
  View matrix(NodeId id, bool transpose) {
    const auto fits = [&](View& v) {
      const size_t r = v.shape.size();
      int64_t &rows = v.shape[r - 2], &cols = v.shape[r - 1], &rs = v.strides[r - 2], &cs = v.strides[r - 1];
      if (v.buffer < 0) return false;
      if (rows == 1 && cols == 1)
        rs = cs = 1;
      else if (rows == 1 && cs == 1)
        rs = cols;
      else if (rows == 1 && cs >= 1)
        rs = 1;
      else if (cols == 1 && rs == 1)
        cs = rows;
      else if (cols == 1 && rs >= 1)
        cs = 1;
      return (cs == 1 && rs >= cols) || (rs == 1 && cs >= rows);
    };
    View v = view(id);
    if (!fits(v)) {
      v = dense(id);
      fits(v);
    }
    if (transpose) {
      const size_t r = v.shape.size();
      std::swap(v.shape[r - 2], v.shape[r - 1]);
      std::swap(v.strides[r - 2], v.strides[r - 1]);
    }
    return v;
  }

  void emit_matmul(NodeId id) {
    const Node& n = graph_[id];
    const View a = matrix(n.inputs[0], n.attrs.ints[0] != 0), b = matrix(n.inputs[1], n.attrs.ints[1] != 0);
    const View to = target(id);
    const size_t r = n.shape.size();
    // Rows of a that follow each other across the batch while b stays are one taller matrix: one product.
    size_t batch = r - 2;
    int64_t m = n.shape[r - 2];
    while (batch > 0 && (b.strides[batch - 1] == 0 || n.shape[batch - 1] == 1) &&
           (a.strides[batch - 1] == m * a.strides[r - 2] || n.shape[batch - 1] == 1) && a.strides[r - 1] == 1)
      m *= n.shape[--batch];
    Shape space(n.shape.begin(), n.shape.begin() + static_cast<int64_t>(batch));
    space.insert(space.end(), {m, n.shape[r - 1], a.shape[r - 1]});
    Launch l = begin(LaunchCode::matmul, id, varies_[id], space);
    std::vector<int64_t> axes;
    for (size_t d = 0; d < batch; ++d) axes.push_back(static_cast<int64_t>(d));
    const auto with = [&](int64_t row, int64_t col, int64_t inner) {
      std::vector<int64_t> out = axes;
      out.insert(out.end(), {row, col, inner});
      return out;
    };
    const int64_t rows = static_cast<int64_t>(r) - 2, cols = rows + 1;
    operand(l, to, with(rows, cols, -1));
    operand(l, a, with(rows, -1, cols));
    operand(l, b, with(-1, cols, rows));
    finish(l);
  }

  void emit_conv(NodeId id) {
    const Node& n = graph_[id];
    const ConvAttrs conv = ConvAttrs::from(n.attrs.ints.data());
    const Shape &sa = graph_.shape(n.inputs[0]), &sb = graph_.shape(n.inputs[1]);
    // (images, in channels, out channels) from whichever two of x, w, y are given; `a`, `b`: which of these are images.
    const bool weight = n.op == Op::conv2d_weight, a = n.op != Op::conv2d_input, b = n.op != Op::conv2d;
    const LaunchCode code = weight ? LaunchCode::conv2d_weight : a ? LaunchCode::conv2d : LaunchCode::conv2d_input;
    const int64_t images = a ? sa[0] : sb[0], in = a ? sa[1] : n.shape[1], out = weight ? sb[1] : a ? sb[0] : sa[0];
    const double work = 2.0 * static_cast<double>(images * out * conv.out_h() * conv.out_w()) *
                        static_cast<double>(in / conv.groups * conv.kh * conv.kw);
    // A tiny one costs more to reorder than it gains.
    const bool there = (a && lanes_of(n.inputs[0]) > 0) || (b && lanes_of(n.inputs[1]) > 0);
    const bool worth = there || (backend_.keeps_images_in_lanes() && work >= kLeastLanesWork);
    const int64_t lanes = worth ? lanes_for(a ? sa : sb, real_) : 0;
    const auto operand_view = [&](NodeId input, bool is_images) {
      return lanes > 0 && is_images ? in_lanes(input, lanes) : dense(input);
    };
    const View first = operand_view(n.inputs[0], a), second = operand_view(n.inputs[1], b);
    Launch l = begin(code, id, varies_[id], {images, in, conv.h, conv.w, out, conv.out_h(), conv.out_w()});
    std::copy(n.attrs.ints.begin(), n.attrs.ints.end(), l.ints);
    l.ints[kLanesInt] = lanes;
    const View result = target(id, weight ? 0 : lanes);
    const int64_t parts = weight ? backend_.partial_results(l) : 1;
    const View partial = parts > 1 ? new_value({parts, element_count(n.shape)}, false, varies_[id]) : result;
    if (parts > 1) l.ints[kPartsInt] = parts;
    operand(l, partial);
    operand(l, first);
    operand(l, second);
    finish(l);
    if (parts > 1) emit_sum_of_parts(id, result, partial);
  }

  // The dense tensor `to` = the sum of the rows of `parts`.
  void emit_sum_of_parts(NodeId id, const View& to, const View& parts) {
    Launch l = begin(LaunchCode::reduce_sum, id, to.varies, {parts.shape[1], parts.shape[0]});
    l.kept_rank = 1;
    View row = to;
    row.strides = {1, 0};
    operand(l, row);
    operand(l, parts, {1, 0});
    l.register_count = 1;
    l.column = true;
    finish(l);
  }

  // ---- the rest

  void emit_pool(NodeId id) {
    const Node& n = graph_[id];
    const View x = readable(n.inputs[0]);
    Launch l = begin(LaunchCode::pool_argmax, id, varies_[id],
                     {x.shape[0], x.shape[1], x.shape[2], x.shape[3], n.shape[2], n.shape[3]});
    operand(l, target(id));
    operand(l, x);
    std::copy(n.attrs.ints.begin(), n.attrs.ints.end(), l.ints);
    finish(l);
  }

  void emit_indexed(NodeId id, LaunchCode code) {
    const Node& n = graph_[id];
    const View x = readable(n.inputs[0]), index = view(n.inputs[1]);
    Launch l = begin(code, id, varies_[id], graph_.shape(n.inputs[1]));
    operand(l, target(id));
    operand(l, x);
    operand(l, index);
    std::copy(n.attrs.ints.begin(), n.attrs.ints.end(), l.ints);
    if (code == LaunchCode::gather) l.ints[3] = x.shape[n.attrs.ints[0]];
    finish(l);
  }

  void emit_pad(NodeId id) {
    const Node& n = graph_[id];
    const View from = view(n.inputs[0]), to = target(id);
    emit_copy(id, to, {-1, false, false, 0, n.shape, Shape(n.shape.size(), 0), 0});
    View window = to;
    for (size_t d = 0; d < n.shape.size(); ++d) {
      window.offset += n.attrs.ints[d] * to.strides[d];
      window.strides[d] *= n.attrs.ints[2 * n.shape.size() + d] + 1;
    }
    window.shape = from.shape;
    emit_copy(id, window, from);
  }

  void emit_concat(NodeId id) {
    const Node& n = graph_[id];
    const int64_t axis = n.attrs.ints[0];
    View window = target(id);
    for (NodeId i : n.inputs) {
      const View from = view(i);
      window.shape = from.shape;
      emit_copy(id, window, from);
      window.offset += from.shape[axis] * window.strides[axis];
    }
  }

  void emit_random(NodeId id) {
    const Node& n = graph_[id];
    const View key = readable(n.inputs[0]);
    Launch l = begin(LaunchCode::random, id, varies_[id], n.shape);
    operand(l, target(id));
    operand(l, key);
    std::copy(n.attrs.ints.begin(), n.attrs.ints.end(), l.ints);
    finish(l);
  }

  void emit_iota(NodeId id) {
    Launch l = begin(LaunchCode::iota, id, varies_[id], graph_.shape(id));
    operand(l, target(id));
    l.ints[0] = graph_[id].attrs.ints[0];
    finish(l);
  }

  void emit_fused(NodeId id) {
    switch (graph_.fused(id)) {
      case Fused::softmax_cross_entropy:
        return emit_rows(id, LaunchCode::softmax_cross_entropy);
      case Fused::softmax_cross_entropy_backward:
        return emit_rows(id, LaunchCode::softmax_cross_entropy_backward);
      case Fused::batch_statistics:
        return emit_batch_norm(id, LaunchCode::batch_statistics, 0b1);
      case Fused::batch_norm:
        return emit_batch_norm(id, LaunchCode::batch_norm, 0b1);
      case Fused::batch_norm_add:
        return emit_batch_norm(id, LaunchCode::batch_norm_add, 0b10001);
      case Fused::batch_norm_backward_sums:
        return emit_batch_norm(id, LaunchCode::batch_norm_backward_sums, 0b11);
      case Fused::batch_norm_backward_input:
        return emit_batch_norm(id, LaunchCode::batch_norm_backward_input, 0b11);
      default:
        throw Error("INTERNAL", std::string("no launch for fused ") + info(graph_.fused(id)).name);
    }
  }

  // Inputs whose bit is set in `whole` are (N,C,...), as the output is unless it is (2,C); the others are per channel.
  void emit_batch_norm(NodeId id, LaunchCode code, unsigned whole) {
    const Node& n = graph_[id];
    int64_t lanes = 0;
    for (size_t i = 0; i < n.inputs.size(); ++i)
      if (whole >> i & 1) lanes = std::max(lanes, lanes_of(n.inputs[i]));
    std::vector<View> inputs;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const NodeId input = n.inputs[i];
      inputs.push_back(!(whole >> i & 1) ? readable(input) : lanes > 0 ? in_lanes(input, lanes) : dense(input));
    }
    const Shape& s = graph_.shape(n.inputs[0]);
    const int64_t outer = lanes > 0 ? s[0] / lanes : s[0];
    const bool per_channel = code == LaunchCode::batch_statistics || code == LaunchCode::batch_norm_backward_sums;
    Launch l = begin(code, id, varies_[id], {outer, s[1], element_count(s) / (outer * s[1])});
    operand(l, target(id, per_channel ? 0 : lanes));
    for (const View& v : inputs) operand(l, v);
    std::copy(n.attrs.ints.begin() + 1, n.attrs.ints.end(), l.ints);
    std::copy(n.attrs.reals.begin(), n.attrs.reals.end(), l.reals);
    finish(l);
  }

  // Softmax cross-entropy and its gradient: one number or row per row of logits.
  void emit_rows(NodeId id, LaunchCode code) {
    const Node& n = graph_[id];
    std::vector<View> inputs{readable(n.inputs[0])};
    for (size_t i = 1; i < n.inputs.size(); ++i) inputs.push_back(view(n.inputs[i]));
    Launch l = begin(code, id, varies_[id], graph_.shape(n.inputs[0]));
    operand(l, target(id));
    for (const View& v : inputs) operand(l, v);
    std::copy(n.attrs.ints.begin() + 1, n.attrs.ints.end(), l.ints);
    std::copy(n.attrs.reals.begin(), n.attrs.reals.end(), l.reals);
    finish(l);
  }

  // A view in memory, with any strides: a constant is written out.
  View readable(NodeId id) {
    const View v = view(id);
    return v.buffer >= 0 ? v : dense(id);
  }

  void emit(NodeId id) {
    const Node& n = graph_[id];
    if (info(n.op).elementwise) {
      if (groups_.root[id] == id) emit_map(id);
      return;
    }
    switch (n.op) {
      case Op::sum:
      case Op::max:
      case Op::argmax:
        return emit_reduce(id);
      case Op::matmul:
        return emit_matmul(id);
      case Op::conv2d:
      case Op::conv2d_input:
      case Op::conv2d_weight:
        return emit_conv(id);
      case Op::pool_argmax:
        return emit_pool(id);
      case Op::gather:
        return emit_indexed(id, LaunchCode::gather);
      case Op::scatter_add:
        return emit_indexed(id, LaunchCode::scatter_add);
      case Op::pad:
        return emit_pad(id);
      case Op::concat:
        return emit_concat(id);
      case Op::random:
        return emit_random(id);
      case Op::iota:
        return emit_iota(id);
      case Op::fused:
        return emit_fused(id);
      default:
        return;  // leaves and views cost nothing until somebody reads them
    }
  }

  // Copies for the places that no launch wrote directly: views, leaves, constants, a second address, a shared value in
  // a slot with a row per member.
  void write_outputs(NodeId id) {
    const auto places = places_.find(id);
    if (places == places_.end()) return;
    const Node& n = graph_[id];
    for (const Output& o : places->second) {
      if (o.slot < 0) continue;
      const View from = view(id);
      emit_copy(id,
                {2 + o.slot, slot_varies_[o.slot], n.kind == Kind::index, o.offset, n.shape, dense_strides(n.shape)},
                from);
    }
  }

  const Graph& graph_;
  const Groups& groups_;
  const std::vector<bool>& varies_;
  const std::vector<bool>& slot_varies_;
  const DType real_;
  const Backend& backend_;
  const int64_t real_bytes_;
  std::map<NodeId, std::vector<Output>> places_;
  std::map<NodeId, View> views_, copies_, lane_copies_;
  Lowered out_;
};

}  // namespace

Lowered lower(const Graph& graph, const std::vector<NodeId>& live, const Groups& groups,
              const std::vector<bool>& varies, const std::vector<Output>& outputs, const std::vector<bool>& slot_varies,
              DType real, const Backend& backend) {
  return Lowering(graph, groups, varies, outputs, slot_varies, real, backend).run(live);
}

}  // namespace ptmz
