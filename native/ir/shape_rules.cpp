// One shape rule per op. A rule checks attributes and input shapes and returns the shape of the value.
#include "ir/shape_rules.h"

#include <limits>
#include <numeric>

namespace ptmz {
namespace {

struct Context {
  const Graph& graph;
  Op op;
  const std::vector<NodeId>& inputs;
  const Attrs& attrs;
  const Shape& requested;

  const Shape& in(size_t i) const { return graph.shape(inputs[i]); }
  Kind kind(size_t i) const { return graph[inputs[i]].kind; }
  int64_t attr(size_t i) const { return attrs.ints[i]; }
  std::string name() const { return info(op).name; }

  [[noreturn]] void shapes(const std::string& expected) const {
    std::string got;
    for (NodeId id : inputs) got += (got.empty() ? "" : " and ") + to_string(graph.shape(id));
    throw Error("SHAPE_MISMATCH", name() + ": expected " + expected + ", got " + got);
  }
  [[noreturn]] void attribute(const std::string& what) const {
    throw Error("INVALID_ARGUMENT",
                name() + ": " + what + " (input " + (inputs.empty() ? "none" : to_string(in(0))) + ")");
  }
  void need_ints(size_t n) const {
    if (attrs.ints.size() != n)
      attribute("expected " + std::to_string(n) + " integer attributes, got " + std::to_string(attrs.ints.size()));
  }
  // Sizes and paddings that arithmetic on them cannot overflow.
  void need_modest() const {
    for (int64_t i : attrs.ints)
      if (i > (int64_t{1} << 24) || i < -(int64_t{1} << 24)) attribute("expected attributes below 2^24");
  }
  void need_kind(size_t i, Kind expected) const {
    if (kind(i) == expected) return;
    const char* names[] = {"real", "index"};
    throw Error("INVALID_ARGUMENT", name() + ": expected input " + std::to_string(i) + " to be of kind " +
                                        names[static_cast<int>(expected)] + ", got " +
                                        names[static_cast<int>(kind(i))]);
  }
  void need_axis(int64_t axis) const {
    if (axis < 0 || axis >= static_cast<int64_t>(in(0).size()))
      attribute("expected an axis in [0, " + std::to_string(in(0).size()) + "), got " + std::to_string(axis));
  }
};

Shape elementwise_shape(const Context& c) {
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    c.need_kind(i, c.op == Op::cast ? Kind::index : Kind::real);
    if (c.in(i) != c.in(0)) c.shapes("inputs of one shape");
  }
  if (c.op == Op::compare) c.need_ints(1);
  if (c.op == Op::pow && c.attrs.reals.size() != 1) c.attribute("expected one real attribute, the exponent");
  return c.in(0);
}

Shape reduced_shape(const Context& c) {
  c.need_kind(0, Kind::real);
  Shape out = c.in(0);
  std::vector<bool> seen(out.size());
  for (int64_t axis : c.attrs.ints) {
    c.need_axis(axis);
    if (seen[axis]) c.attribute("axis " + std::to_string(axis) + " is given twice");
    seen[axis] = true;
    out[axis] = 1;
  }
  return out;
}

Shape reshape_shape(const Context& c) {
  if (element_count(c.requested) != element_count(c.in(0)))
    c.shapes("as many elements as " + to_string(c.requested) + " has");
  return c.requested;
}

Shape permute_shape(const Context& c) {
  const Shape& x = c.in(0);
  c.need_ints(x.size());
  Shape out(x.size());
  std::vector<bool> seen(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    c.need_axis(c.attr(i));
    if (seen[c.attr(i)])
      c.attribute("expected a permutation of the axes, axis " + std::to_string(c.attr(i)) + " is there twice");
    seen[c.attr(i)] = true;
    out[i] = x[c.attr(i)];
  }
  return out;
}

Shape expand_shape(const Context& c) {
  const Shape& x = c.in(0);
  bool fits = x.size() == c.requested.size();
  for (size_t i = 0; fits && i < x.size(); ++i) fits = x[i] == c.requested[i] || x[i] == 1;
  if (!fits) c.shapes("a shape that expands to " + to_string(c.requested));
  return c.requested;
}

Shape slice_shape(const Context& c) {
  const Shape& x = c.in(0);
  const size_t r = x.size();
  c.need_ints(3 * r);
  Shape out(r);
  for (size_t i = 0; i < r; ++i) {
    const int64_t start = c.attr(i), stop = c.attr(r + i), step = c.attr(2 * r + i);
    if (start < 0 || stop > x[i] || start >= stop || step < 1)
      c.attribute("expected 0 <= start < stop <= " + std::to_string(x[i]) + " and step >= 1 on axis " +
                  std::to_string(i) + ", got " + std::to_string(start) + ":" + std::to_string(stop) + ":" +
                  std::to_string(step));
    out[i] = (stop - start + step - 1) / step;
  }
  return out;
}

Shape pad_shape(const Context& c) {
  c.need_kind(0, Kind::real);
  const Shape& x = c.in(0);
  const size_t r = x.size();
  c.need_ints(3 * r);
  Shape out(r);
  for (size_t i = 0; i < r; ++i) {
    const int64_t low = c.attr(i), high = c.attr(r + i), interior = c.attr(2 * r + i);
    if (low < 0 || high < 0 || interior < 0) c.attribute("expected paddings >= 0 on axis " + std::to_string(i));
    int64_t size;
    if (__builtin_mul_overflow(x[i] - 1, interior, &size) || __builtin_add_overflow(size, low, &size) ||
        __builtin_add_overflow(size, high, &size) || __builtin_add_overflow(size, x[i], &size))
      c.attribute("expected paddings that fit 2^48 elements on axis " + std::to_string(i));
    out[i] = size;
  }
  return out;
}

Shape concat_shape(const Context& c) {
  c.need_ints(1);
  if (c.inputs.empty()) throw Error("INVALID_ARGUMENT", "concat: expected at least one input, got none");
  c.need_axis(c.attr(0));
  Shape out = c.in(0);
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    c.need_kind(i, Kind::real);
    Shape other = c.in(i);
    if (other.size() == out.size()) other[c.attr(0)] = c.in(0)[c.attr(0)];
    if (other != c.in(0)) c.shapes("shapes that differ only on axis " + std::to_string(c.attr(0)));
    if (i > 0) out[c.attr(0)] += c.in(i)[c.attr(0)];
  }
  return out;
}

Shape matmul_shape(const Context& c) {
  c.need_ints(2);
  c.need_kind(0, Kind::real);
  c.need_kind(1, Kind::real);
  const Shape &a = c.in(0), &b = c.in(1);
  const size_t r = a.size();
  if (r < 2 || r >= kMaxRank || b.size() != r) c.shapes("two inputs of one rank in [2, 7]");
  const bool ta = c.attr(0) != 0, tb = c.attr(1) != 0;
  for (size_t i = 0; i + 2 < r; ++i)
    if (a[i] != b[i]) c.shapes("equal batch axes");
  const int64_t m = a[r - (ta ? 1 : 2)], k = a[r - (ta ? 2 : 1)], kb = b[r - (tb ? 1 : 2)], n = b[r - (tb ? 2 : 1)];
  if (k != kb)
    c.shapes("equal inner sizes (transpose_a=" + std::to_string(ta) + ", transpose_b=" + std::to_string(tb) + ")");
  Shape out(a.begin(), a.end() - 2);
  out.push_back(m);
  out.push_back(n);
  return out;
}

ConvAttrs checked_conv(const Context& c) {
  c.need_ints(11);
  c.need_modest();
  const ConvAttrs a = ConvAttrs::from(c.attrs.ints.data());
  if (a.stride_h < 1 || a.stride_w < 1 || a.dilation_h < 1 || a.dilation_w < 1 || a.groups < 1 || a.pad_h < 0 ||
      a.pad_w < 0)
    c.attribute("expected stride, dilation and groups >= 1 and padding >= 0");
  if (a.h + 2 * a.pad_h < a.dilation_h * (a.kh - 1) + 1 || a.w + 2 * a.pad_w < a.dilation_w * (a.kw - 1) + 1)
    c.shapes("a kernel no larger than the padded input");
  for (size_t i = 0; i < 2; ++i) {
    c.need_kind(i, Kind::real);
    if (c.in(i).size() != 4) c.shapes("two inputs of rank 4");
  }
  return a;
}

Shape conv2d_shape(const Context& c) {
  const ConvAttrs a = checked_conv(c);
  const Shape &x = c.in(0), &w = c.in(1);
  if (x[2] != a.h || x[3] != a.w || w[2] != a.kh || w[3] != a.kw)
    c.attribute("sizes in the attributes differ from the inputs'");
  if (x[1] != w[1] * a.groups || w[0] % a.groups != 0)
    c.shapes("x (N,C,H,W) and w (O,C/groups,KH,KW) with groups=" + std::to_string(a.groups));
  return {x[0], w[0], a.out_h(), a.out_w()};
}

Shape conv2d_input_shape(const Context& c) {
  const ConvAttrs a = checked_conv(c);
  const Shape &w = c.in(0), &y = c.in(1);
  if (w[2] != a.kh || w[3] != a.kw || y[1] != w[0] || w[0] % a.groups != 0 || y[2] != a.out_h() || y[3] != a.out_w())
    c.shapes("w (O,C/groups,KH,KW) and y (N,O,OH,OW)");
  return {y[0], w[1] * a.groups, a.h, a.w};
}

Shape conv2d_weight_shape(const Context& c) {
  const ConvAttrs a = checked_conv(c);
  const Shape &x = c.in(0), &y = c.in(1);
  if (x[0] != y[0] || x[2] != a.h || x[3] != a.w || x[1] % a.groups != 0 || y[1] % a.groups != 0 || y[2] != a.out_h() ||
      y[3] != a.out_w())
    c.shapes("x (N,C,H,W) and y (N,O,OH,OW)");
  return {y[1], x[1] / a.groups, a.kh, a.kw};
}

Shape pool_shape(const Context& c) {
  c.need_ints(6);
  c.need_modest();
  c.need_kind(0, Kind::real);
  const PoolAttrs a = PoolAttrs::from(c.attrs.ints.data());
  const Shape& x = c.in(0);
  if (x.size() != 4) c.shapes("an input (N,C,H,W)");
  if (a.kh < 1 || a.kw < 1 || a.stride_h < 1 || a.stride_w < 1 || a.pad_h < 0 || a.pad_w < 0 || 2 * a.pad_h > a.kh ||
      2 * a.pad_w > a.kw)
    c.attribute("expected kernel and stride >= 1 and 0 <= padding <= kernel / 2");
  if (x[2] + 2 * a.pad_h < a.kh || x[3] + 2 * a.pad_w < a.kw) c.shapes("a kernel no larger than the padded input");
  return {x[0], x[1], (x[2] + 2 * a.pad_h - a.kh) / a.stride_h + 1, (x[3] + 2 * a.pad_w - a.kw) / a.stride_w + 1};
}

// gather(x, index): index's shape, equal to x's on all axes but `axis`.
Shape gather_shape(const Context& c) {
  c.need_ints(3);
  c.need_kind(0, Kind::real);
  c.need_kind(1, Kind::index);
  c.need_axis(c.attr(0));
  Shape x = c.in(0);
  const Shape& index = c.in(1);
  if (x.size() == index.size()) x[c.attr(0)] = index[c.attr(0)];
  if (x != index) c.shapes("an index shaped as the input but on axis " + std::to_string(c.attr(0)));
  return index;
}

Shape scatter_shape(const Context& c) {
  c.need_ints(4);
  c.need_kind(0, Kind::real);
  c.need_kind(1, Kind::index);
  c.need_axis(c.attr(0));
  if (c.in(0) != c.in(1)) c.shapes("an index shaped as the input");
  if (c.attr(3) < 1) c.attribute("expected a size >= 1");
  Shape out = c.in(0);
  out[c.attr(0)] = c.attr(3);
  return out;
}

Shape leaf_shape(const Context& c) {
  if (c.op == Op::input || c.op == Op::param) {
    c.need_ints(2);
    if (c.attr(0) < 0 || c.attr(0) >= static_cast<int64_t>(c.graph.slots().size())) c.attribute("no such slot");
    const Slot& slot = c.graph.slots()[c.attr(0)];
    if (c.attr(1) < 0 || c.attr(1) + element_count(c.requested) > slot.size)
      throw Error("INVALID_ARGUMENT", c.name() + ": " + to_string(c.requested) + " at offset " +
                                          std::to_string(c.attr(1)) + " does not fit slot '" + slot.name +
                                          "' of size " + std::to_string(slot.size));
  }
  if (c.op == Op::constant && c.attrs.reals.size() != 1) c.attribute("expected one real attribute, the value");
  if (c.op == Op::iota) {
    c.need_ints(1);
    if (c.attr(0) < 0 || c.attr(0) >= static_cast<int64_t>(c.requested.size()))
      c.attribute("expected an axis of " + to_string(c.requested));
  }
  return c.requested;
}

Shape random_shape(const Context& c) {
  c.need_ints(2);
  c.need_kind(0, Kind::index);
  if (c.in(0) != Shape{4}) c.shapes("a key of shape (4)");
  if (c.attr(0) < 0 || c.attr(0) > static_cast<int64_t>(Distribution::rademacher))
    c.attribute("expected a known distribution");
  return c.requested;
}

}  // namespace

Shape infer_shape(const Graph& graph, Op op, const std::vector<NodeId>& inputs, const Attrs& attrs,
                  const Shape& requested) {
  const Context c{graph, op, inputs, attrs, requested};
  if (info(op).arity >= 0 && static_cast<int>(inputs.size()) != info(op).arity)
    throw Error("INVALID_ARGUMENT", c.name() + ": expected " + std::to_string(info(op).arity) + " inputs, got " +
                                        std::to_string(inputs.size()));
  for (NodeId id : inputs) graph.check_node(id);
  if (info(op).elementwise) return elementwise_shape(c);
  switch (op) {
    case Op::sum:
    case Op::max:
      return reduced_shape(c);
    case Op::argmax:
      c.need_ints(1);
      return reduced_shape(c);
    case Op::reshape:
      return reshape_shape(c);
    case Op::permute:
      return permute_shape(c);
    case Op::expand:
      return expand_shape(c);
    case Op::slice:
      return slice_shape(c);
    case Op::pad:
      return pad_shape(c);
    case Op::concat:
      return concat_shape(c);
    case Op::matmul:
      return matmul_shape(c);
    case Op::conv2d:
      return conv2d_shape(c);
    case Op::conv2d_input:
      return conv2d_input_shape(c);
    case Op::conv2d_weight:
      return conv2d_weight_shape(c);
    case Op::pool_argmax:
      return pool_shape(c);
    case Op::gather:
      return gather_shape(c);
    case Op::scatter_add:
      return scatter_shape(c);
    case Op::random:
      return random_shape(c);
    case Op::fused:
      return requested;
    default:
      return leaf_shape(c);
  }
}

}  // namespace ptmz
