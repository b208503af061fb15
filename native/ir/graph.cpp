// Graph construction: hash-consing, and the text dump.
#include "ir/graph.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "ir/shape_rules.h"

namespace ptmz {

int64_t element_count(const Shape& shape) {
  int64_t n = 1;
  for (int64_t d : shape)
    if (__builtin_mul_overflow(n, d, &n))
      throw Error("INVALID_ARGUMENT", "shape " + to_string(shape) + ": expected at most 2^48 elements");
  return n;
}

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? "," : "") + std::to_string(shape[i]);
  return out + "]";
}

namespace {

void mix(size_t& h, uint64_t v) { h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2); }

size_t hash(const Node& n) {
  size_t h = static_cast<size_t>(n.op) * 31 + static_cast<size_t>(n.kind);
  for (NodeId i : n.inputs) mix(h, static_cast<uint64_t>(i));
  for (int64_t i : n.attrs.ints) mix(h, static_cast<uint64_t>(i));
  for (double r : n.attrs.reals) mix(h, std::bit_cast<uint64_t>(r));
  for (int64_t d : n.shape) mix(h, static_cast<uint64_t>(d));
  return h;
}

// Bitwise on reals, so that 0 and -0 stay two constants and NaN equals itself.
bool equal(const Node& a, const Node& b) {
  const auto bits = [](double x) { return std::bit_cast<uint64_t>(x); };
  return a.op == b.op && a.kind == b.kind && a.inputs == b.inputs && a.attrs.ints == b.attrs.ints &&
         a.shape == b.shape && a.fallback == b.fallback &&
         std::equal(a.attrs.reals.begin(), a.attrs.reals.end(), b.attrs.reals.begin(), b.attrs.reals.end(),
                    [&](double x, double y) { return bits(x) == bits(y); });
}

void check_shape(const Shape& shape) {
  if (shape.size() > kMaxRank)
    throw Error("INVALID_ARGUMENT", "shape: expected at most 8 axes, got " + to_string(shape));
  int64_t n = 1;
  for (int64_t d : shape)
    if (d < 1 || __builtin_mul_overflow(n, d, &n) || n > (int64_t{1} << 48))
      throw Error("INVALID_ARGUMENT", "shape: expected sizes >= 1 and at most 2^48 elements, got " + to_string(shape));
}

Kind value_kind(const Graph& graph, Op op, const std::vector<NodeId>& inputs, const Attrs& attrs) {
  switch (op) {
    case Op::input:
    case Op::param:
      return graph.slots()[attrs.ints[0]].kind;
    case Op::argmax:
    case Op::pool_argmax:
      return Kind::index;
    case Op::reshape:
    case Op::permute:
    case Op::expand:
    case Op::slice:
      return graph[inputs[0]].kind;
    default:
      return Kind::real;
  }
}

}  // namespace

int Graph::add_slot(std::string name, Kind kind, int64_t size) {
  if (size < 0 || size > (int64_t{1} << 48))
    throw Error("INVALID_ARGUMENT", "slot '" + name + "': expected a size in [0, 2^48], got " + std::to_string(size));
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].name != name) continue;
    if (slots_[i].kind != kind) throw Error("INVALID_ARGUMENT", "slot '" + name + "' exists with another kind");
    slots_[i].size = std::max(slots_[i].size, size);
    return static_cast<int>(i);
  }
  slots_.push_back({std::move(name), kind, size});
  return static_cast<int>(slots_.size()) - 1;
}

void Graph::check_node(NodeId id) const {
  if (id < 0 || id >= size())
    throw Error("INVALID_ARGUMENT",
                "node: expected an id in [0, " + std::to_string(size()) + "), got " + std::to_string(id));
}

NodeId Graph::add(Op op, std::vector<NodeId> inputs, Attrs attrs, Shape shape) {
  Shape result = infer_shape(*this, op, inputs, attrs, shape);
  check_shape(result);
  if (info(op).commutative && inputs[0] > inputs[1]) std::swap(inputs[0], inputs[1]);
  const Kind kind = value_kind(*this, op, inputs, attrs);
  Node node{op, kind, std::move(result), std::move(inputs), std::move(attrs)};
  const NodeId simpler = simplify(node);
  return simpler != kNone ? simpler : intern(std::move(node));
}

NodeId Graph::add_fused(Fused fused, std::vector<NodeId> inputs, Attrs attrs, NodeId fallback) {
  for (NodeId id : inputs) check_node(id);
  check_node(fallback);
  if (static_cast<int>(inputs.size()) != info(fused).arity)
    throw Error("INVALID_ARGUMENT", std::string(info(fused).name) + ": expected " + std::to_string(info(fused).arity) +
                                        " inputs, got " + std::to_string(inputs.size()));
  attrs.ints.insert(attrs.ints.begin(), static_cast<int64_t>(fused));
  return intern({Op::fused, Kind::real, shape(fallback), std::move(inputs), std::move(attrs), fallback});
}

NodeId Graph::intern(Node node) {
  std::vector<NodeId>& bucket = table_[hash(node)];
  for (NodeId id : bucket)
    if (equal(nodes_[id], node)) return id;
  const NodeId id = static_cast<NodeId>(nodes_.size());
  nodes_.push_back(std::move(node));
  bucket.push_back(id);
  return id;
}

bool Graph::is_constant(NodeId id, double value) const {
  return nodes_[id].op == Op::constant && nodes_[id].attrs.reals[0] == value;
}

NodeId Graph::constant(double value, Shape shape) {
  check_shape(shape);
  return intern({Op::constant, Kind::real, std::move(shape), {}, {{}, {value}}});
}

NodeId Graph::leaf(int slot, int64_t offset, Shape shape) {
  return add(Op::param, {}, {{slot, offset}, {}}, std::move(shape));
}

NodeId Graph::scale(NodeId a, double factor) { return mul(a, constant(factor, shape(a))); }

std::vector<NodeId> Graph::reachable(const std::vector<NodeId>& roots) const {
  std::vector<bool> seen(nodes_.size());
  std::vector<NodeId> stack = roots, out;
  for (NodeId r : roots) check_node(r);
  while (!stack.empty()) {
    const NodeId id = stack.back();
    stack.pop_back();
    if (seen[id]) continue;
    seen[id] = true;
    out.push_back(id);
    stack.insert(stack.end(), nodes_[id].inputs.begin(), nodes_[id].inputs.end());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string Graph::dump(const std::vector<NodeId>& roots) const {
  std::string out;
  for (NodeId id : reachable(roots)) {
    const Node& n = nodes_[id];
    out += "%" + std::to_string(id) + " = " + (n.op == Op::fused ? info(fused(id)).name : info(n.op).name) + "(";
    for (size_t i = 0; i < n.inputs.size(); ++i) out += (i ? ", %" : "%") + std::to_string(n.inputs[i]);
    if (n.op == Op::input || n.op == Op::param)
      out += slots_[n.attrs.ints[0]].name + "+" + std::to_string(n.attrs.ints[1]);
    out += ")";
    if (n.op != Op::input && n.op != Op::param && !n.attrs.ints.empty()) out += " " + to_string(n.attrs.ints);
    for (double r : n.attrs.reals) {
      char text[32];
      std::snprintf(text, sizeof text, " %.9g", r);
      out += text;
    }
    out += std::string(" : ") + (n.kind == Kind::real ? "real" : "index") + to_string(n.shape) + "\n";
  }
  return out;
}

}  // namespace ptmz
