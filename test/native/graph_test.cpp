// Graph: hash-consing, folding, identities, shape rules and errors, dumps.
#include "ir/graph.h"

#include <string>

#include "check.h"

using namespace ptmz;

TEST(equal_expressions_are_one_node) {
  Graph g;
  const int slot = g.add_slot("x", Kind::real, 12);
  const NodeId x = g.leaf(slot, 0, {3, 4});
  CHECK(x == g.leaf(slot, 0, {3, 4}));
  CHECK(x != g.leaf(slot, 0, {4, 3}));
  const NodeId a = g.add(Op::exp, {x}), b = g.add(Op::sin, {x});
  CHECK(g.add(a, b) == g.add(b, a));
  CHECK(g.mul(a, b) == g.mul(b, a));
  CHECK(g.sum(a, {1}) == g.sum(a, {1}));
  CHECK(g.sum(a, {0}) != g.sum(a, {1}));
}

TEST(constants_fold_and_identities_vanish) {
  Graph g;
  const NodeId x = g.leaf(g.add_slot("x", Kind::real, 6), 0, {2, 3});
  CHECK(g.is_constant(g.add(g.constant(2), g.constant(3)), 5));
  CHECK(g.add(x, g.constant(0, {2, 3})) == x);
  CHECK(g.mul(g.constant(1, {2, 3}), x) == x);
  CHECK(g.neg(g.neg(x)) == x);
  CHECK(g.reshape(g.reshape(x, {6}), {2, 3}) == x);
  CHECK(g.add(Op::permute, {g.add(Op::permute, {x}, {{1, 0}, {}})}, {{1, 0}, {}}) == x);
  CHECK(g.expand(g.constant(7, {1, 3}), {2, 3}) == g.constant(7, {2, 3}));
  CHECK(g.is_constant(g.sum(g.constant(2, {2, 3}), {0, 1}), 12));
  CHECK(g.constant(0.0) != g.constant(-0.0));
}

// The pieces of what was taken apart need not be put together to be taken apart again.
TEST(parts_of_a_whole_are_the_parts) {
  Graph g;
  const NodeId a = g.leaf(g.add_slot("a", Kind::real, 6), 0, {2, 3}),
               b = g.leaf(g.add_slot("b", Kind::real, 8), 0, {2, 4});
  const auto pad = [&](NodeId x, int64_t low, int64_t high, int64_t interior = 0) {
    return g.add(Op::pad, {x}, {{0, low, 0, high, 0, interior}, {}});
  };
  const auto columns = [&](NodeId x, int64_t start, int64_t stop, int64_t step = 1) {
    return g.add(Op::slice, {x}, {{0, start, 2, stop, 1, step}, {}});
  };
  const NodeId whole = g.add(Op::concat, {a, b}, {{1}, {}});
  CHECK(g.add(pad(a, 0, 4), pad(b, 3, 0)) == whole);
  CHECK(g.add(pad(b, 3, 0), pad(a, 0, 4)) == whole);
  CHECK(columns(whole, 0, 3) == a);
  CHECK(columns(whole, 3, 7) == b);
  CHECK(columns(whole, 4, 7, 2) == columns(b, 1, 4, 2));
  CHECK(g[columns(whole, 2, 5)].op == Op::slice && g[columns(whole, 2, 5)].inputs[0] == whole);
  // With a gap, an overlap, or zeros in between.
  for (const NodeId sum :
       {g.add(pad(a, 0, 5), pad(b, 4, 0)), g.add(pad(a, 0, 3), pad(b, 2, 0)), g.add(pad(a, 0, 2, 1), pad(b, 3, 0))})
    CHECK(g[sum].op == Op::add);
  // Both lie in other rows, too.
  const NodeId c = g.leaf(g.add_slot("c", Kind::real, 4), 0, {1, 4});
  CHECK(g[g.add(g.add(Op::pad, {a}, {{0, 0, 0, 4, 0, 0}, {}}), g.add(Op::pad, {c}, {{1, 3, 0, 0, 0, 0}, {}}))].op ==
        Op::add);
}

TEST(shape_rules_name_both_shapes) {
  Graph g;
  const int slot = g.add_slot("x", Kind::real, 12);
  const NodeId a = g.leaf(slot, 0, {3, 4}), b = g.leaf(slot, 0, {4, 3});
  CHECK_CODE(g.add(a, b), "SHAPE_MISMATCH");
  try {
    g.add(Op::matmul, {a, a}, {{0, 0}, {}});
    CHECK(false);
  } catch (const Error& e) {
    CHECK(std::string(e.what()).find("[3,4] and [3,4]") != std::string::npos);
  }
  CHECK(g.shape(g.add(Op::matmul, {a, b}, {{0, 0}, {}})) == (Shape{3, 3}));
  CHECK(g.shape(g.add(Op::matmul, {a, a}, {{1, 0}, {}})) == (Shape{4, 4}));
  CHECK_CODE(g.leaf(slot, 1, {3, 4}), "INVALID_ARGUMENT");
  CHECK_CODE(g.add(Op::sum, {a}, {{2}, {}}), "INVALID_ARGUMENT");
  CHECK_CODE(g.add(Op::exp, {a, b}), "INVALID_ARGUMENT");
  CHECK_CODE(g.add(Op::exp, {99}), "INVALID_ARGUMENT");
  CHECK_CODE(g.constant(1, {0}), "INVALID_ARGUMENT");
  CHECK_CODE(g.constant(1, {1 << 30, 1 << 30}), "INVALID_ARGUMENT");
  CHECK_CODE(g.reshape(a, {5}), "SHAPE_MISMATCH");
  CHECK_CODE(g.add(Op::slice, {a}, {{0, 0, 4, 4, 1, 1}, {}}), "INVALID_ARGUMENT");
}

TEST(convolution_shapes_are_consistent) {
  Graph g;
  const int slot = g.add_slot("x", Kind::real, 4096);
  const Attrs conv{{2, 1, 1, 2, 1, 2, 2, 9, 8, 3, 3}, {}};
  const NodeId x = g.leaf(slot, 0, {2, 4, 9, 8}), w = g.leaf(slot, 0, {6, 2, 3, 3});
  const NodeId y = g.add(Op::conv2d, {x, w}, conv);
  CHECK(g.shape(y) == (Shape{2, 6, 5, 8}));
  CHECK(g.shape(g.add(Op::conv2d_input, {w, y}, conv)) == g.shape(x));
  CHECK(g.shape(g.add(Op::conv2d_weight, {x, y}, conv)) == g.shape(w));
  CHECK_CODE(g.add(Op::conv2d, {w, x}, conv), "INVALID_ARGUMENT");
}

TEST(dump_lists_what_a_root_needs) {
  Graph g;
  const NodeId x = g.leaf(g.add_slot("weights", Kind::real, 2), 0, {2});
  g.add(Op::cos, {x});
  const std::string text = g.dump({g.add(Op::exp, {x})});
  CHECK(text.find("exp(%") != std::string::npos);
  CHECK(text.find("weights+0") != std::string::npos);
  CHECK(text.find("cos") == std::string::npos);
}
