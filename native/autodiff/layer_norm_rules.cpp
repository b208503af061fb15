// Derivatives of layer norm (Ba, Kiros and Hinton 2016). With D numbers per row, s = 1 / sqrt(var + eps), z = (x -
// mean) s and y = w z + b:
//
//   db = sum g      dw = sum g z      dx = s (w g - mean(w g) - z mean(w g z))
//
// with sums over rows and means within them. The kernels compute these lines; their fallbacks are the derivative of the
// composite, so that nothing is differentiated by hand.
#include "autodiff/layer_norm_rules.h"

#include "autodiff/autodiff.h"

namespace ptmz {

std::vector<NodeId> layer_norm_rule(Graph& graph, NodeId y, NodeId g) {
  const Node n = graph[y];
  const NodeId x = n.inputs[0], weight = n.inputs[1], bias = n.inputs[2];
  const int64_t columns = n.shape.back();
  const std::vector<NodeId> gradient = vjp(graph, {n.fallback}, {g}, {x, weight, bias});
  if (gradient[0] == kNone || gradient[1] == kNone) return gradient;
  // A bias that is the constant 0 is no part of the composite.
  NodeId bias_gradient = gradient[2];
  if (bias_gradient == kNone) {
    std::vector<int64_t> rows;
    for (size_t d = 0; d + 1 < n.shape.size(); ++d) rows.push_back(static_cast<int64_t>(d));
    bias_gradient = graph.sum(g, rows);
  }
  const auto row = [&](NodeId id) { return graph.reshape(id, {1, columns}); };
  const NodeId pair = graph.add(Op::concat, {row(gradient[1]), row(bias_gradient)}, {{0}, {}});
  const Attrs attrs{{}, n.attrs.reals};
  const NodeId sums = graph.add_fused(Fused::layer_norm_backward_sums, {g, x}, attrs, pair);
  const auto part = [&](int64_t i) {
    return graph.reshape(graph.add(Op::slice, {sums}, {{i, 0, i + 1, columns, 1, 1}, {}}), graph.shape(weight));
  };
  return {graph.add_fused(Fused::layer_norm_backward_input, {g, x, weight}, attrs, gradient[0]), part(0), part(1)};
}

}  // namespace ptmz
