// Emitter: where the values of nodes live, how they are read, and the launches made so far.
#pragma once
#include <map>
#include <set>

#include "compile/lowering.h"
#include "compile/view.h"

namespace ptmz {

class Emitter {
 public:
  Emitter(const Graph& graph, const Groups& groups, const std::vector<bool>& varies, const std::vector<Output>& outputs,
          const std::vector<bool>& slot_varies, DType real, const Backend& backend);

  const Graph& graph;
  const Groups& groups;
  const std::vector<bool>& varies;  // by node id
  const DType real;
  const Backend& backend;

  // ---- values and views

  View new_value(const Shape& shape, bool is_index, bool varies, int64_t lanes = 0);
  // Where a launch that computes node `id` densely should write: its output slot if it can, else a new value.
  View target(NodeId id, int64_t lanes = 0);
  // Where and how the value of `id` can be read by strides.
  const View& view(NodeId id);
  // A view in memory, with any strides: a constant is written out.
  View readable(NodeId id);
  // The value of `id` row-major in memory: itself, or a copy made once.
  View dense(NodeId id);
  // The lanes in which node `id` was computed; 0: it is plain, or a view.
  int64_t lanes_of(NodeId id) const;
  // The value of `id` in lanes: itself, or a copy made once.
  View in_lanes(NodeId id, int64_t lanes);
  // The order of the backend for images of this shape.
  ImageOrder order_of(const Shape& images) const { return backend.image_order(images[1]); }
  // As target, for images in their order.
  View image_target(NodeId id);
  // Whether node `id` was computed so.
  bool is_in_image_order(NodeId id) const { return image_values_.count(id) > 0; }
  // The value of `id`, images or weights, in an order: itself, or a copy made once.
  View in_order(NodeId id, ImageOrder order);
  View in_image_order(NodeId id) { return in_order(id, order_of(graph.shape(id))); }
  // The same of images, or row-major where the order has the pixels of a channel side by side, too.
  View in_planes(NodeId id);
  // As target, for weights in an order.
  View weight_target(NodeId id, ImageOrder order);
  // The value of `id` for a launch over (sets,C,H,W,lanes). Whole tensors come in lanes, broadcasts as they are.
  View split_view(NodeId id, int64_t lanes);

  // ---- launches

  Launch begin(LaunchCode code, NodeId node, bool varies, const Shape& space);
  // The next operand of `l`. `axes[d]`: which axis of the view the iteration axis d walks; -1: none.
  static void operand(Launch& l, const View& v, const std::vector<int64_t>& axes);
  static void operand(Launch& l, const View& v);
  void instruction(const Instr& instr) { out_.instrs.push_back(instr); }
  void finish(const Launch& l) { (l.varies ? out_.varying : out_.shared).push_back(l); }
  void copy(NodeId node, const View& to, const View& from);
  // The dense tensor `to` = the sum of the rows of `parts`.
  void sum_parts(NodeId node, const View& to, const View& parts);

  // Copies for the places that no launch wrote directly: views, leaves, constants, a second address, a shared value in
  // a slot with a row per member.
  void write_outputs(NodeId id);
  Lowered take() { return std::move(out_); }

 private:
  const View& from_lanes(NodeId id);
  void reorder(LaunchCode code, NodeId node, const View& to, const View& from, int64_t lanes);

  const std::vector<bool>& slot_varies_;
  std::map<NodeId, std::vector<Output>> places_;
  std::map<NodeId, View> views_, copies_, lane_copies_;
  std::map<std::pair<NodeId, ImageOrder>, View> order_copies_;
  std::set<NodeId> image_values_;
  Lowered out_;
};

}  // namespace ptmz
