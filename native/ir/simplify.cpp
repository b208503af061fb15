// What is simpler than a node: constants that fold, identities, and parts of a whole that is never put together.
#include <algorithm>
#include <cmath>
#include <optional>

#include "ir/graph.h"

namespace ptmz {
namespace {

double evaluate(Op op, const Attrs& attrs, const double* x) {
  switch (op) {
    case Op::add:
      return x[0] + x[1];
    case Op::mul:
      return x[0] * x[1];
    case Op::fma:
      return std::fma(x[0], x[1], x[2]);
    case Op::neg:
      return -x[0];
    case Op::recip:
      return 1 / x[0];
    case Op::exp:
      return std::exp(x[0]);
    case Op::log:
      return std::log(x[0]);
    case Op::sqrt:
      return std::sqrt(x[0]);
    case Op::pow:
      return std::pow(x[0], attrs.reals[0]);
    case Op::tanh:
      return std::tanh(x[0]);
    case Op::sin:
      return std::sin(x[0]);
    case Op::cos:
      return std::cos(x[0]);
    case Op::erf:
      return std::erf(x[0]);
    case Op::select:
      return x[0] != 0 ? x[1] : x[2];
    case Op::compare:
      return holds(static_cast<Comparison>(attrs.ints[0]), x[0], x[1]);
    default:
      return x[0];  // stop_gradient
  }
}

// A sum of two tensors with zeros where the other one is - the adjoint of taking something apart - is both, side by
// side.
NodeId joined(Graph& graph, const Node& sum) {
  const Node a = graph[sum.inputs[0]], b = graph[sum.inputs[1]];
  if (a.op != Op::pad || b.op != Op::pad) return kNone;
  const size_t rank = sum.shape.size();
  const auto low = [&](const Node& pad, size_t d) { return pad.attrs.ints[d]; };
  const auto end = [&](const Node& pad, size_t d) { return sum.shape[d] - pad.attrs.ints[rank + d]; };
  std::optional<size_t> axis;
  bool a_first = true;
  for (size_t d = 0; d < rank; ++d) {
    if (a.attrs.ints[2 * rank + d] != 0 || b.attrs.ints[2 * rank + d] != 0) return kNone;
    const bool whole = low(a, d) == 0 && low(b, d) == 0 && end(a, d) == sum.shape[d] && end(b, d) == sum.shape[d];
    if (whole) continue;
    const Node &first = low(a, d) == 0 ? a : b, &second = low(a, d) == 0 ? b : a;
    if (axis || low(first, d) != 0 || end(first, d) != low(second, d) || end(second, d) != sum.shape[d]) return kNone;
    axis = d;
    a_first = low(a, d) == 0;
  }
  if (!axis) return kNone;
  const NodeId first = a_first ? a.inputs[0] : b.inputs[0], second = a_first ? b.inputs[0] : a.inputs[0];
  return graph.add(Op::concat, {first, second}, {{static_cast<int64_t>(*axis)}, {}});
}

// A slice that lies within one piece of a concat is a slice of that piece.
NodeId part_of(Graph& graph, const Node& slice) {
  const Node whole = graph[slice.inputs[0]];
  const auto axis = static_cast<size_t>(whole.attrs.ints[0]);
  Attrs attrs = slice.attrs;
  int64_t &start = attrs.ints[axis], &stop = attrs.ints[slice.shape.size() + axis];
  for (const NodeId piece : whole.inputs) {
    const int64_t size = graph.shape(piece)[axis];
    if (start >= 0 && stop <= size) return graph.add(Op::slice, {piece}, attrs);
    start -= size;
    stop -= size;
  }
  return kNone;
}

}  // namespace

NodeId Graph::simplify(const Node& n) {
  const auto in = [&](size_t i) -> const Node& { return nodes_[n.inputs[i]]; };
  const auto constant_in = [&](size_t i) { return in(i).op == Op::constant; };
  if (n.inputs.empty() || n.op == Op::fused || n.op == Op::random) return kNone;

  if (info(n.op).elementwise && n.op != Op::cast) {
    double values[3];
    bool all = true;
    for (size_t i = 0; i < n.inputs.size() && all; ++i) {
      all = constant_in(i);
      if (all) values[i] = in(i).attrs.reals[0];
    }
    if (all) return constant(evaluate(n.op, n.attrs, values), n.shape);
  }
  switch (n.op) {
    case Op::add:
      for (int i = 0; i < 2; ++i)
        if (is_constant(n.inputs[i], 0)) return n.inputs[1 - i];
      return joined(*this, n);
    case Op::mul:
      for (int i = 0; i < 2; ++i) {
        if (is_constant(n.inputs[i], 1)) return n.inputs[1 - i];
        if (is_constant(n.inputs[i], -1)) return neg(n.inputs[1 - i]);
      }
      return kNone;
    case Op::neg:
      return in(0).op == Op::neg ? in(0).inputs[0] : kNone;
    case Op::pow:
      return n.attrs.reals[0] == 1 ? n.inputs[0] : kNone;
    case Op::select:
      if (constant_in(0)) return n.inputs[in(0).attrs.reals[0] != 0 ? 1 : 2];
      return n.inputs[1] == n.inputs[2] ? n.inputs[1] : kNone;
    case Op::sum:
      if (n.shape == in(0).shape) return n.inputs[0];
      if (constant_in(0))
        return constant(in(0).attrs.reals[0] * static_cast<double>(element_count(in(0).shape) / element_count(n.shape)),
                        n.shape);
      return kNone;
    case Op::max:
      if (n.shape == in(0).shape) return n.inputs[0];
      return constant_in(0) ? constant(in(0).attrs.reals[0], n.shape) : kNone;
    case Op::reshape:
      if (n.shape == in(0).shape) return n.inputs[0];
      if (in(0).op == Op::reshape) return reshape(in(0).inputs[0], n.shape);
      return constant_in(0) ? constant(in(0).attrs.reals[0], n.shape) : kNone;
    case Op::expand:
      if (n.shape == in(0).shape) return n.inputs[0];
      if (in(0).op == Op::expand) return expand(in(0).inputs[0], n.shape);
      return constant_in(0) ? constant(in(0).attrs.reals[0], n.shape) : kNone;
    case Op::permute: {
      if (std::is_sorted(n.attrs.ints.begin(), n.attrs.ints.end())) return n.inputs[0];
      if (constant_in(0)) return constant(in(0).attrs.reals[0], n.shape);
      if (in(0).op != Op::permute) return kNone;
      std::vector<int64_t> order(n.attrs.ints.size());
      for (size_t i = 0; i < order.size(); ++i) order[i] = in(0).attrs.ints[n.attrs.ints[i]];
      return add(Op::permute, {in(0).inputs[0]}, {std::move(order), {}});
    }
    case Op::slice:
      if (n.shape == in(0).shape) return n.inputs[0];
      if (constant_in(0)) return constant(in(0).attrs.reals[0], n.shape);
      return in(0).op == Op::concat ? part_of(*this, n) : kNone;
    case Op::pad:
    case Op::concat:
      return n.shape == in(0).shape ? n.inputs[0] : kNone;
    default:
      return kNone;
  }
}

}  // namespace ptmz
