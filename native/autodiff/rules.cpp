// One VJP rule per differentiable op of op.def. A rule uses graph ops only: derivatives of any order follow.
#include "autodiff/rules.h"

#include <cmath>

#include "autodiff/autodiff.h"
#include "autodiff/batch_norm_rules.h"
#include "autodiff/layer_norm_rules.h"

namespace ptmz {
namespace {

struct Rule {
  Graph& graph;
  const Node& n;
  NodeId y;  // the node itself
  NodeId g;  // cotangent of y
  const std::vector<bool>& needed;

  NodeId x(size_t i) const { return n.inputs[i]; }
  Shape in_shape(size_t i) const { return graph.shape(n.inputs[i]); }
  NodeId constant(double value) const { return graph.constant(value, n.shape); }
  NodeId mul(NodeId a, NodeId b) const { return graph.mul(a, b); }
  NodeId op(Op o, std::vector<NodeId> inputs) const { return graph.add(o, std::move(inputs), n.attrs); }
  NodeId unary(Op o, NodeId a) const { return graph.add(o, {a}); }
  int64_t rank(size_t i) const { return static_cast<int64_t>(in_shape(i).size()); }
};

using Nodes = std::vector<NodeId>;

// y = T(a, b) with a (.., M, K), b (.., K, N): each operand's cotangent is a product of g and the other one.
Nodes matmul_rule(const Rule& r) {
  const bool ta = r.n.attrs.ints[0] != 0, tb = r.n.attrs.ints[1] != 0;
  const auto product = [&](NodeId a, NodeId b, bool transpose_a, bool transpose_b) {
    return r.graph.add(Op::matmul, {a, b}, {{transpose_a, transpose_b}, {}});
  };
  Nodes out{kNone, kNone};
  // C = A B: dA = g B^T, dB = A^T g; a stored transpose swaps the two factors.
  if (r.needed[0]) out[0] = ta ? product(r.x(1), r.g, tb, true) : product(r.g, r.x(1), false, !tb);
  if (r.needed[1]) out[1] = tb ? product(r.g, r.x(0), true, ta) : product(r.x(0), r.g, !ta, false);
  return out;
}

// The three contractions of T(x, w, y) are each other's derivatives.
Nodes conv_rule(const Rule& r) {
  Nodes out{kNone, kNone};
  const auto set = [&](size_t i, Op op, NodeId a, NodeId b) {
    if (r.needed[i]) out[i] = r.op(op, {a, b});
  };
  switch (r.n.op) {
    case Op::conv2d:  // y from x, w
      set(0, Op::conv2d_input, r.x(1), r.g);
      set(1, Op::conv2d_weight, r.x(0), r.g);
      break;
    case Op::conv2d_input:  // x from w, y
      set(0, Op::conv2d_weight, r.g, r.x(1));
      set(1, Op::conv2d, r.g, r.x(0));
      break;
    default:  // w from x, y
      set(0, Op::conv2d_input, r.g, r.x(1));
      set(1, Op::conv2d, r.x(0), r.g);
  }
  return out;
}

// d max = g shared equally among equal maxima.
NodeId max_rule(const Rule& r) {
  Graph& graph = r.graph;
  const Shape full = r.in_shape(0);
  const NodeId mask = graph.compare(Comparison::eq, r.x(0), graph.expand(r.y, full));
  const NodeId share = graph.mul(r.g, graph.add(Op::recip, {graph.sum(mask, r.n.attrs.ints)}));
  return graph.mul(mask, graph.expand(share, full));
}

NodeId expand_rule(const Rule& r) {
  const Shape from = r.in_shape(0);
  std::vector<int64_t> axes;
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i] != r.n.shape[i]) axes.push_back(static_cast<int64_t>(i));
  return r.graph.sum(r.g, axes);
}

NodeId permute_rule(const Rule& r) {
  std::vector<int64_t> inverse(r.n.attrs.ints.size());
  for (size_t i = 0; i < inverse.size(); ++i) inverse[r.n.attrs.ints[i]] = static_cast<int64_t>(i);
  return r.graph.add(Op::permute, {r.g}, {std::move(inverse), {}});
}

// The adjoint of a strided slice is a pad with interior zeros.
NodeId slice_rule(const Rule& r) {
  const Shape from = r.in_shape(0);
  const size_t rank = from.size();
  std::vector<int64_t> pads(3 * rank);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t start = r.n.attrs.ints[i], step = r.n.attrs.ints[2 * rank + i];
    pads[i] = start;
    pads[rank + i] = from[i] - start - ((r.n.shape[i] - 1) * step + 1);
    pads[2 * rank + i] = step - 1;
  }
  return r.graph.add(Op::pad, {r.g}, {std::move(pads), {}});
}

NodeId pad_rule(const Rule& r) {
  const Shape from = r.in_shape(0);
  const size_t rank = from.size();
  std::vector<int64_t> slices(3 * rank);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t low = r.n.attrs.ints[i], interior = r.n.attrs.ints[2 * rank + i];
    slices[i] = low;
    slices[rank + i] = low + (from[i] - 1) * (interior + 1) + 1;
    slices[2 * rank + i] = interior + 1;
  }
  return r.graph.add(Op::slice, {r.g}, {std::move(slices), {}});
}

Nodes concat_rule(const Rule& r) {
  const int64_t axis = r.n.attrs.ints[0];
  const size_t rank = r.n.shape.size();
  Nodes out;
  int64_t start = 0;
  for (size_t i = 0; i < r.n.inputs.size(); ++i) {
    const int64_t size = r.in_shape(i)[axis];
    std::vector<int64_t> slices(3 * rank, 0);
    for (size_t d = 0; d < rank; ++d) {
      slices[rank + d] = r.n.shape[d];
      slices[2 * rank + d] = 1;
    }
    slices[axis] = start;
    slices[rank + axis] = start + size;
    out.push_back(r.needed[i] ? r.graph.add(Op::slice, {r.g}, {std::move(slices), {}}) : kNone);
    start += size;
  }
  return out;
}

NodeId gather_rule(const Rule& r) {
  Attrs attrs = r.n.attrs;
  attrs.ints.push_back(r.in_shape(0)[attrs.ints[0]]);
  return r.graph.add(Op::scatter_add, {r.g, r.x(1)}, std::move(attrs));
}

NodeId scatter_rule(const Rule& r) {
  Attrs attrs = r.n.attrs;
  attrs.ints.pop_back();
  return r.graph.add(Op::gather, {r.g, r.x(1)}, std::move(attrs));
}

// Softmax and its logarithm, whose gradients are nodes with rules of their own: differentiated as they stand, their
// terms would be formed in an order that cancels where a row is saturated (see docs/numerics.md).
struct SoftmaxRules {
  const Rule& r;
  int64_t axis = r.n.attrs.ints[1];

  NodeId total(NodeId x) const { return r.graph.expand(r.graph.sum(x, {axis}), r.n.shape); }
  NodeId sub(NodeId a, NodeId b) const { return r.graph.add(a, r.graph.neg(b)); }
  NodeId exp(NodeId x) const { return r.unary(Op::exp, x); }

  NodeId backward(NodeId g, NodeId y) const {  // y (g - sum(y g))
    return r.graph.add_fused(Fused::softmax_backward, {g, y}, {{axis}, {}}, r.mul(y, sub(g, total(r.mul(y, g)))));
  }
  NodeId log_backward(NodeId g, NodeId y) const {  // g - exp(y) sum(g)
    const NodeId value = r.graph.add(Op::fma, {r.graph.neg(exp(y)), total(g), g});
    return r.graph.add_fused(Fused::log_softmax_backward, {g, y}, {{axis}, {}}, value);
  }
  // d<u, y (g - sum(y g))> = (y (u - sum(y u))) dg + (u g - sum(y u) g - u sum(y g)) dy
  Nodes of_backward(NodeId g, NodeId y, NodeId u) const {
    const NodeId dy = sub(sub(r.mul(u, g), r.mul(total(r.mul(y, u)), g)), r.mul(u, total(r.mul(y, g))));
    return {backward(u, y), dy};
  }
  // d<u, g - exp(y) sum(g)> = (u - sum(u exp(y))) dg - sum(g) exp(y) u dy
  Nodes of_log_backward(NodeId g, NodeId y, NodeId u) const {
    const NodeId e = exp(y);
    return {sub(u, total(r.mul(u, e))), r.mul(r.mul(r.graph.neg(total(g)), e), u)};
  }
};

// A rule in terms of the value, or the fused backward kernel, whose own fallback is the derivative of the fallback.
Nodes fused_rule(const Rule& r) {
  const Fused kind = r.graph.fused(r.y);
  switch (kind) {
    case Fused::softmax:
      return {SoftmaxRules{r}.backward(r.g, r.y)};
    case Fused::log_softmax:
      return {SoftmaxRules{r}.log_backward(r.g, r.y)};
    case Fused::softmax_backward:
      return SoftmaxRules{r}.of_backward(r.x(0), r.x(1), r.g);
    case Fused::log_softmax_backward:
      return SoftmaxRules{r}.of_log_backward(r.x(0), r.x(1), r.g);
    case Fused::batch_statistics:
      return batch_statistics_rule(r.graph, r.y, r.g);
    case Fused::batch_norm:
    case Fused::batch_norm_add:
      return batch_norm_rule(r.graph, r.y, r.g);
    case Fused::layer_norm:
      return layer_norm_rule(r.graph, r.y, r.g);
    default:
      break;
  }
  Nodes out(r.n.inputs.size(), kNone);
  const Nodes gradient = vjp(r.graph, {r.n.fallback}, {r.g}, {r.x(0)});
  if (gradient[0] == kNone) return out;
  Attrs attrs = r.n.attrs;
  attrs.ints.erase(attrs.ints.begin());
  Nodes inputs = r.n.inputs;
  inputs.push_back(r.g);
  out[0] = r.graph.add_fused(info(kind).backward, std::move(inputs), std::move(attrs), gradient[0]);
  return out;
}

NodeId unary_rule(const Rule& r) {
  Graph& graph = r.graph;
  switch (r.n.op) {
    case Op::neg:
      return graph.neg(r.g);
    case Op::recip:
      return graph.neg(r.mul(r.g, r.mul(r.y, r.y)));
    case Op::exp:
      return r.mul(r.g, r.y);
    case Op::log:
      return r.mul(r.g, r.unary(Op::recip, r.x(0)));
    case Op::sqrt:
      return r.mul(r.g, graph.scale(r.unary(Op::recip, r.y), 0.5));
    case Op::pow: {
      const double p = r.n.attrs.reals[0];
      if (p == 0) return kNone;
      return r.mul(r.g, graph.scale(graph.add(Op::pow, {r.x(0)}, {{}, {p - 1}}), p));
    }
    case Op::tanh:
      return r.mul(r.g, graph.add(r.constant(1), graph.neg(r.mul(r.y, r.y))));
    case Op::sin:
      return r.mul(r.g, r.unary(Op::cos, r.x(0)));
    case Op::cos:
      return graph.neg(r.mul(r.g, r.unary(Op::sin, r.x(0))));
    case Op::erf: {  // 2 / sqrt(pi) exp(-x^2)
      const NodeId e = r.unary(Op::exp, graph.neg(r.mul(r.x(0), r.x(0))));
      return r.mul(r.g, graph.scale(e, 2 / std::sqrt(std::acos(-1.0))));
    }
    case Op::sum:
      return graph.expand(r.g, r.in_shape(0));
    case Op::max:
      return max_rule(r);
    case Op::reshape:
      return graph.reshape(r.g, r.in_shape(0));
    case Op::permute:
      return permute_rule(r);
    case Op::expand:
      return expand_rule(r);
    case Op::slice:
      return slice_rule(r);
    case Op::pad:
      return pad_rule(r);
    default:
      throw Error("INVALID_ARGUMENT", std::string(info(r.n.op).name) + " has no VJP rule");
  }
}

}  // namespace

std::vector<NodeId> vjp_rule(Graph& graph, NodeId node, NodeId g, const std::vector<bool>& needed) {
  const Rule r{graph, graph[node], node, g, needed};
  switch (r.n.op) {
    case Op::add:
      return {g, g};
    case Op::mul:
      return {needed[0] ? r.mul(g, r.x(1)) : kNone, needed[1] ? r.mul(g, r.x(0)) : kNone};
    case Op::fma:
      return {needed[0] ? r.mul(g, r.x(1)) : kNone, needed[1] ? r.mul(g, r.x(0)) : kNone, g};
    case Op::select: {
      const NodeId zero = r.constant(0);
      // relu: where its value is 0 its input is not needed, so that the value alone has to be kept.
      const NodeId negative = graph.compare(Comparison::le, r.x(2), zero);
      if (r.x(0) == negative && r.x(1) == zero) {
        return {kNone, kNone, graph.select(graph.compare(Comparison::le, node, zero), zero, g)};
      }
      return {kNone, needed[1] ? graph.select(r.x(0), g, zero) : kNone,
              needed[2] ? graph.select(r.x(0), zero, g) : kNone};
    }
    case Op::concat:
      return concat_rule(r);
    case Op::matmul:
      return matmul_rule(r);
    case Op::conv2d:
    case Op::conv2d_input:
    case Op::conv2d_weight:
      return conv_rule(r);
    case Op::gather:
      return {gather_rule(r), kNone};
    case Op::scatter_add:
      return {scatter_rule(r), kNone};
    case Op::fused:
      return fused_rule(r);
    default:
      return {unary_rule(r)};
  }
}

}  // namespace ptmz
