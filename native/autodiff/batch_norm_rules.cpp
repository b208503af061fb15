// Derivatives of batch norm (Ioffe and Szegedy 2015, section 3). With n numbers per channel, s = 1 / sqrt(var + eps),
// z = (x - mean) s and y = w z + b:
//
//   db = sum g      dw = sum g z      dx = w s (g - (db + z dw) / n)
//
// where dx holds the paths through mean and var. The three are nodes of their own, with these lines as fallbacks.
#include "autodiff/batch_norm_rules.h"

#include "autodiff/autodiff.h"

namespace ptmz {
namespace {

// Shapes around the channel axis 1.
struct Channels {
  Graph& graph;
  Shape shape;  // of x

  std::vector<int64_t> others() const {
    std::vector<int64_t> axes;
    for (size_t d = 0; d < shape.size(); ++d)
      if (d != 1) axes.push_back(static_cast<int64_t>(d));
    return axes;
  }
  double count() const { return static_cast<double>(element_count(shape)) / static_cast<double>(shape[1]); }
  // Values per channel, shaped as x.
  NodeId spread(NodeId per_channel) const {
    Shape thin(shape.size(), 1);
    thin[1] = shape[1];
    return graph.expand(graph.reshape(per_channel, thin), shape);
  }
  // Row 0 or 1 of a (2,C).
  NodeId row(NodeId pair, int64_t i) const {
    return graph.reshape(graph.add(Op::slice, {pair}, {{i, 0, i + 1, shape[1], 1, 1}, {}}), {shape[1]});
  }
  NodeId pair(NodeId first, NodeId second) const {
    const Shape one{1, shape[1]};
    return graph.add(Op::concat, {graph.reshape(first, one), graph.reshape(second, one)}, {{0}, {}});
  }
  NodeId sum(NodeId x) const { return graph.reshape(graph.sum(x, others()), {shape[1]}); }
  NodeId centred(NodeId x, NodeId stats) const { return graph.add(x, graph.neg(spread(row(stats, 0)))); }
  // 1 / sqrt(var + eps), (C)
  NodeId inverse_deviation(NodeId stats, double eps) const {
    const NodeId shifted = graph.add(row(stats, 1), graph.constant(eps, {shape[1]}));
    return graph.add(Op::recip, {graph.add(Op::sqrt, {shifted})});
  }
};

}  // namespace

std::vector<NodeId> batch_statistics_rule(Graph& graph, NodeId stats, NodeId g) {
  const NodeId x = graph[stats].inputs[0];
  const Channels c{graph, graph.shape(x)};
  const NodeId through_variance = graph.mul(c.centred(x, stats), c.spread(graph.scale(c.row(g, 1), 2)));
  return {graph.scale(graph.add(c.spread(c.row(g, 0)), through_variance), 1 / c.count())};
}

std::vector<NodeId> batch_norm_rule(Graph& graph, NodeId y, NodeId g) {
  const Node n = graph[y];
  const NodeId x = n.inputs[0], stats = n.inputs[1], weight = n.inputs[2], bias = n.inputs[3];
  const bool adds = graph.fused(y) == Fused::batch_norm_add, relu = n.attrs.ints[1] != 0;
  const Node& source = graph[stats];
  const bool own_statistics =
      source.op == Op::fused && graph.fused(stats) == Fused::batch_statistics && source.inputs[0] == x;
  if (!own_statistics) return vjp(graph, {n.fallback}, {g}, n.inputs);

  const Channels c{graph, n.shape};
  const NodeId zero = graph.constant(0, n.shape);
  const NodeId masked = relu ? graph.select(graph.compare(Comparison::le, y, zero), zero, g) : g;
  // Without a residual the kernels find the mask again from x; with one, its gradient is the masked g itself.
  const bool kernels_mask = relu && !adds;
  const NodeId given = kernels_mask ? g : masked;
  const Attrs attrs{{kernels_mask}, n.attrs.reals};

  const NodeId deviation = c.inverse_deviation(stats, n.attrs.reals[0]);
  const NodeId normal = graph.mul(c.centred(x, stats), c.spread(deviation));
  const NodeId sums = graph.add_fused(Fused::batch_norm_backward_sums, {given, x, stats, weight, bias}, attrs,
                                      c.pair(c.sum(masked), c.sum(graph.mul(masked, normal))));
  const NodeId through_statistics =
      graph.scale(graph.add(c.spread(c.row(sums, 0)), graph.mul(normal, c.spread(c.row(sums, 1)))), -1 / c.count());
  const NodeId dx = graph.mul(c.spread(graph.mul(weight, deviation)), graph.add(masked, through_statistics));
  std::vector<NodeId> out{
      graph.add_fused(Fused::batch_norm_backward_input, {given, x, stats, weight, bias, sums}, attrs, dx), kNone,
      c.row(sums, 1), c.row(sums, 0)};
  if (adds) out.push_back(masked);
  return out;
}

}  // namespace ptmz
