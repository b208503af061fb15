// Graph: hash-consed tensor expressions over named slots, without a dtype and without data.
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ir/comparison.h"
#include "ir/error.h"

namespace ptmz {

using NodeId = int32_t;
inline constexpr NodeId kNone = -1;
inline constexpr int kMaxRank = 8;

using Shape = std::vector<int64_t>;
int64_t element_count(const Shape& shape);
std::string to_string(const Shape& shape);

// real: float32 or float64, chosen when the graph is compiled. index: int32.
enum class Kind : uint8_t { real, index };

enum class Op : uint8_t {
#define PTMZ_OP(name, arity, kind, flags) name,
#include "ir/op.def"
};

struct OpInfo {
  const char* name;
  int arity;  // -1: any
  bool leaf, elementwise, view, nondiff, commutative;
};
const OpInfo& info(Op op);
Op op_from_name(std::string_view name);  // throws INVALID_ARGUMENT

enum class Fused : int64_t {
#define PTMZ_FUSED(name, arity, backward, rule, kernel) name,
#include "ir/fused.def"
  none
};
struct FusedInfo {
  const char* name;
  int arity;
  Fused backward;  // none: see fused.def
  bool rule, kernel;
};
const FusedInfo& info(Fused fused);
Fused fused_from_name(std::string_view name);

// What `random` draws; ints[0].
enum class Distribution : int64_t { uniform, normal, rademacher };

// Attributes by op (ints unless said):
//   input, param       slot, offset in elements
//   constant           reals: value
//   iota               axis: element value = position along it
//   random             distribution, stream; input: key (4) index = seed low, seed high, epoch, step
//   pow                reals: exponent
//   compare            Comparison
//   sum, max           axes...
//   argmax, concat     axis
//   permute            order...
//   slice              start..., stop..., step... (step > 0)
//   pad                low..., high..., interior... (all >= 0)
//   matmul             transpose_a, transpose_b
//   conv2d*            ConvAttrs, in the order of its members
//   pool_argmax        PoolAttrs, in the order of its members; the value is the position in the H*W plane
//   gather, scatter_add  axis, has_ignore, ignore [, size of the axis for scatter_add]
//   fused              Fused, then the kernel's own
struct Attrs {
  std::vector<int64_t> ints;
  std::vector<double> reals;
  bool operator==(const Attrs&) const = default;
};

// x (N,C,H,W), w (O,C/groups,KH,KW), y (N,O,OH,OW). All three contractions carry the same record.
struct ConvAttrs {
  int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, h, w, kh, kw;
  int64_t out_h() const { return (h + 2 * pad_h - dilation_h * (kh - 1) - 1) / stride_h + 1; }
  int64_t out_w() const { return (w + 2 * pad_w - dilation_w * (kw - 1) - 1) / stride_w + 1; }
  static ConvAttrs from(const int64_t* ints);
};

struct PoolAttrs {
  int64_t kh, kw, stride_h, stride_w, pad_h, pad_w;
  static PoolAttrs from(const int64_t* ints);
};

struct Node {
  Op op;
  Kind kind;
  Shape shape;
  std::vector<NodeId> inputs;
  Attrs attrs;
  NodeId fallback = kNone;  // fused nodes only
};

// A named flat array that a program is given or fills: parameters, buffers, data, directions, results.
struct Slot {
  std::string name;
  Kind kind;
  int64_t size;  // elements per member
};

class Graph {
 public:
  int add_slot(std::string name, Kind kind, int64_t size);
  const std::vector<Slot>& slots() const { return slots_; }

  // Adds a node, or returns the equal one that exists. Infers the shape for all ops but leaves, reshape, expand and
  // random, which take it from `shape`. Throws INVALID_ARGUMENT or SHAPE_MISMATCH. Constants fold, identities vanish.
  NodeId add(Op op, std::vector<NodeId> inputs, Attrs attrs = {}, Shape shape = {});
  NodeId add_fused(Fused fused, std::vector<NodeId> inputs, Attrs attrs, NodeId fallback);

  const Node& operator[](NodeId id) const { return nodes_[id]; }
  const Shape& shape(NodeId id) const { return nodes_[id].shape; }
  int64_t size() const { return static_cast<int64_t>(nodes_.size()); }
  // What a fused node is.
  Fused fused(NodeId id) const { return static_cast<Fused>(nodes_[id].attrs.ints[0]); }
  void check_node(NodeId id) const;  // throws INVALID_ARGUMENT

  // Short names for what rules and composites need.
  NodeId constant(double value, Shape shape = {});
  NodeId leaf(int slot, int64_t offset, Shape shape);
  NodeId add(NodeId a, NodeId b) { return add(Op::add, {a, b}); }
  NodeId mul(NodeId a, NodeId b) { return add(Op::mul, {a, b}); }
  NodeId scale(NodeId a, double factor);
  NodeId neg(NodeId a) { return add(Op::neg, {a}); }
  NodeId reshape(NodeId a, Shape shape) { return add(Op::reshape, {a}, {}, std::move(shape)); }
  NodeId expand(NodeId a, Shape shape) { return add(Op::expand, {a}, {}, std::move(shape)); }
  NodeId sum(NodeId a, std::vector<int64_t> axes) { return add(Op::sum, {a}, {std::move(axes), {}}); }
  NodeId compare(Comparison c, NodeId a, NodeId b) { return add(Op::compare, {a, b}, {{static_cast<int64_t>(c)}, {}}); }
  NodeId select(NodeId c, NodeId a, NodeId b) { return add(Op::select, {c, a, b}); }
  bool is_constant(NodeId id, double value) const;

  // Nodes that `roots` need, in an order where inputs come first (ascending ids).
  std::vector<NodeId> reachable(const std::vector<NodeId>& roots) const;
  std::string dump(const std::vector<NodeId>& roots) const;

 private:
  NodeId intern(Node node);
  NodeId simplify(const Node& node);  // an existing or simpler node, or kNone
  std::deque<Node> nodes_;            // references to nodes and shapes stay good while nodes are added
  std::vector<Slot> slots_;
  std::unordered_map<size_t, std::vector<NodeId>> table_;
};

}  // namespace ptmz
