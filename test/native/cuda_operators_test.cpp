// Operators on the emulated CUDA device against the CPU: random graphs over all of them, and each one's own shapes.
#include <functional>
#include <random>

#include "autodiff/autodiff.h"
#include "backend/cuda/runtime.h"
#include "device_runner.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

std::mt19937_64& generator() {
  static std::mt19937_64 engine(7);
  return engine;
}
int64_t pick(int64_t low, int64_t high) { return low + static_cast<int64_t>(generator()() % (high - low + 1)); }

// Grows a graph by operators that keep numbers of size one, over slots that vary or not.
struct RandomGraph {
  Graph g;
  std::vector<NodeId> pool;
  std::vector<int> varying;
  int slots = 0, indices;

  RandomGraph() {
    for (int i = 0; i < 4; ++i) {
      const int rank = static_cast<int>(pick(1, 4));
      Shape shape;
      for (int d = 0; d < rank; ++d) shape.push_back(pick(1, 6));
      const int slot = g.add_slot("x" + std::to_string(i), Kind::real, element_count(shape));
      if (pick(0, 1)) varying.push_back(slot);
      pool.push_back(g.leaf(slot, 0, shape));
      ++slots;
    }
    indices = g.add_slot("index", Kind::index, 64);
    for (int left = 14; left > 0; --left) grow();
  }

  NodeId any() { return pool[static_cast<size_t>(pick(0, static_cast<int64_t>(pool.size()) - 1))]; }
  // A permutation or another view of one in the pool, so that operators meet strides of all kinds.
  NodeId viewed() {
    NodeId x = any();
    const Shape shape = g.shape(x);
    const auto rank = static_cast<int64_t>(shape.size());
    switch (pick(0, 4)) {
      case 0: {
        std::vector<int64_t> order;
        for (int64_t d = 0; d < rank; ++d) order.push_back(d);
        std::shuffle(order.begin(), order.end(), generator());
        return g.add(Op::permute, {x}, {order, {}});
      }
      case 1: {
        std::vector<int64_t> attrs;
        for (int64_t d = 0; d < rank; ++d) attrs.push_back(shape[d] > 2 ? 1 : 0);
        for (int64_t d = 0; d < rank; ++d) attrs.push_back(shape[d]);
        for (int64_t d = 0; d < rank; ++d) attrs.push_back(pick(1, 2));
        return g.add(Op::slice, {x}, {attrs, {}});
      }
      case 2: {
        Shape with = shape, wide = shape;
        if (rank > 4) return x;
        with.push_back(1);
        wide.push_back(pick(1, 4));
        return g.expand(g.reshape(x, with), wide);
      }
      case 3:
        return g.reshape(x, {element_count(shape)});
      default:
        return x;
    }
  }
  NodeId bounded(NodeId x) { return g.add(Op::tanh, {x}); }
  NodeId matrix(int64_t rows, int64_t columns) {
    const NodeId x = viewed();
    const NodeId flat = g.sum(g.reshape(x, {element_count(g.shape(x)), 1, 1}), {0});
    return bounded(g.add(g.expand(g.reshape(flat, {1, 1}), {rows, columns}),
                         g.expand(g.add(Op::iota, {}, {{0}, {}}, {rows, 1}), {rows, columns})));
  }

  void grow() {
    const NodeId x = viewed();
    const Shape shape = g.shape(x);
    const auto rank = static_cast<int64_t>(shape.size());
    const int64_t axis = pick(0, rank - 1);
    switch (pick(0, 10)) {
      case 0:
      case 1: {
        static const Op unary[] = {Op::tanh, Op::sin, Op::cos, Op::erf, Op::neg, Op::stop_gradient};
        pool.push_back(g.add(unary[pick(0, 5)], {x}));
        return;
      }
      case 2:
        pool.push_back(g.add(Op::log, {g.add(g.mul(x, x), g.constant(1.5, shape))}));
        return;
      case 3:
        pool.push_back(g.add(Op::sqrt, {g.add(g.mul(x, x), g.constant(0.5, shape))}));
        return;
      case 4:
        pool.push_back(bounded(g.add(g.mul(x, x), g.add(Op::exp, {bounded(x)}))));
        return;
      case 5:
        pool.push_back(g.select(g.compare(Comparison::gt, x, g.constant(0.123, shape)), bounded(x), g.neg(x)));
        return;
      case 6:
        pool.push_back(bounded(g.sum(x, {axis})));
        return;
      case 7:
        pool.push_back(g.add(Op::max, {x}, {{axis}, {}}));
        return;
      case 8: {
        std::vector<int64_t> attrs;
        for (int64_t d = 0; d < 3 * rank; ++d) attrs.push_back(pick(0, 2));
        const NodeId padded = g.add(Op::pad, {x}, {attrs, {}});
        if (element_count(g.shape(padded)) < 4000) pool.push_back(padded);
        return;
      }
      case 9: {
        const NodeId y = bounded(x);
        pool.push_back(g.add(Op::concat, {x, y, x}, {{axis}, {}}));
        return;
      }
      default: {
        const int64_t m = pick(1, 9), n = pick(1, 40), k = pick(1, 20);
        const bool ta = pick(0, 1), tb = pick(0, 1);
        const NodeId a = ta ? matrix(k, m) : matrix(m, k), b = tb ? matrix(n, k) : matrix(k, n);
        pool.push_back(bounded(g.add(Op::matmul, {a, b}, {{ta, tb}, {}})));
      }
    }
  }

  Values values(int64_t members) const {
    Values all;
    for (int s = 0; s < slots; ++s) {
      const bool varies = std::find(varying.begin(), varying.end(), s) != varying.end();
      all.push_back(ramp(g.slots()[s].size * (varies ? members : 1), 0.1 * s, 0.7));
    }
    all.emplace_back(64, 0.0);
    return all;
  }
};

}  // namespace

TEST(cuda_random_graphs) {
  for (int round = 0; round < 40; ++round) {
    RandomGraph r;
    std::vector<NodeId> nodes(r.pool.end() - 5, r.pool.end());
    std::sort(nodes.begin(), nodes.end());
    nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
    compare_all(
        r.g, nodes, r.varying, [&](int64_t members) { return r.values(members); }, 5e-5, 1e-12);
  }
}

// Index operators, random numbers and arg-maxima, with an index that varies or not.
TEST(cuda_index_operators) {
  for (const bool index_varies : {false, true}) {
    Graph g;
    const int data = g.add_slot("x", Kind::real, 5 * 8), index = g.add_slot("i", Kind::index, 12),
              key = g.add_slot("key", Kind::index, 4);
    const NodeId x = g.leaf(data, 0, {5, 8}), i = g.leaf(index, 0, {3, 4}), k = g.leaf(key, 0, {4});
    const NodeId wide = g.expand(g.reshape(g.leaf(index, 0, {3}), {3, 1}), {3, 8});
    const NodeId rows = g.add(Op::gather, {x, wide}, {{0, 0, 0}, {}});
    const NodeId some = g.add(Op::gather, {g.add(Op::slice, {x}, {{0, 1, 3, 8, 1, 1}, {}}), i}, {{1, 1, 2}, {}});
    const NodeId back = g.add(Op::scatter_add, {rows, wide}, {{0, 0, 0, 5}, {}});
    const NodeId images = g.reshape(g.add(Op::concat, {x, x}, {{0}, {}}), {2, 2, 4, 5});
    const NodeId pooled = g.add(Op::pool_argmax, {images}, {{2, 3, 2, 1, 1, 1}, {}});
    std::vector<NodeId> nodes{rows,
                              some,
                              back,
                              pooled,
                              g.add(Op::argmax, {x}, {{1}, {}}),
                              g.add(Op::argmax, {g.add(Op::permute, {x}, {{1, 0}, {}})}, {{1}, {}}),
                              g.add(Op::cast, {i}),
                              g.add(Op::iota, {}, {{1}, {}}, {3, 5, 2}),
                              i};
    for (int64_t kind = 0; kind < 3; ++kind) nodes.push_back(g.add(Op::random, {k}, {{kind, 5}, {}}, {7, 11}));
    std::vector<int> varying{data};
    if (index_varies) varying.insert(varying.end(), {index, key});
    compare_all(g, nodes, varying, [&](int64_t members) {
      const int64_t rows_of_index = index_varies ? members : 1;
      Values v{ramp(40 * members), {}, {}};
      for (int64_t n = 0; n < 12 * rows_of_index; ++n) v[1].push_back(static_cast<double>(n * 7 % 5));
      for (int64_t n = 0; n < 4 * rows_of_index; ++n) v[2].push_back(static_cast<double>(n * 1001 - 7));
      return v;
    });
  }
}

namespace {

// Batch norm's kernels; their composites are never computed here, so any node of that shape stands for one. `behind`:
// of what a convolution wrote.
void compare_batch_norms(const Shape& shape, bool behind) {
  for (int64_t relu = 0; relu < 2; ++relu) {
    Graph g;
    const int64_t c = shape[1], n = element_count(shape);
    const int xs = g.add_slot("x", Kind::real, n), gs = g.add_slot("g", Kind::real, n),
              ps = g.add_slot("p", Kind::real, 2 * c), rs = g.add_slot("r", Kind::real, n);
    const auto images = [&](int slot) {
      const NodeId plain = g.leaf(slot, 0, shape);
      const std::vector<int64_t> depthwise{1, 1, 0, 0, 1, 1, c, shape[2], shape[3], 1, 1};
      const NodeId ones = g.expand(g.reshape(g.constant(1), {1, 1, 1, 1}), {c, 1, 1, 1});
      return behind ? g.add(Op::conv2d, {plain, ones}, {depthwise, {}}) : plain;
    };
    const NodeId x = images(xs), gradient = images(gs), residual = images(rs);
    const NodeId weight = g.leaf(ps, 0, {c}), bias = g.leaf(ps, c, {c});
    const auto fused = [&](Fused kind, std::vector<NodeId> inputs, std::vector<int64_t> ints, NodeId like) {
      return g.add_fused(kind, std::move(inputs), {std::move(ints), {1e-5}}, like);
    };
    const NodeId pair = g.reshape(g.add(Op::concat, {weight, bias}, {{0}, {}}), {2, c});
    const NodeId stats = fused(Fused::batch_statistics, {x}, {}, pair);
    const NodeId y = fused(Fused::batch_norm, {x, stats, weight, bias}, {relu}, x);
    const NodeId z = fused(Fused::batch_norm_add, {x, stats, weight, bias, residual}, {relu}, x);
    const NodeId sums = fused(Fused::batch_norm_backward_sums, {gradient, x, stats, weight, bias}, {relu}, pair);
    const NodeId dx = fused(Fused::batch_norm_backward_input, {gradient, x, stats, weight, bias, sums}, {relu}, x);
    // A gradient that is computed first, for the norm alone and for others as well.
    const NodeId given =
        g.add(Op::select, {g.compare(Comparison::lt, residual, x), g.add(Op::add, {gradient, residual}), gradient});
    const NodeId sums2 = fused(Fused::batch_norm_backward_sums, {given, x, stats, weight, bias}, {relu}, pair);
    const NodeId dx2 = fused(Fused::batch_norm_backward_input, {given, x, stats, weight, bias, sums2}, {relu}, x);
    // Each norm right after its statistics, and not.
    const auto values = [&](int64_t members) {
      return Values{ramp(n * members, 0.1, 0.77), ramp(n * members, 1.1, 0.31), ramp(2 * c, 0.4), ramp(n, 0.9, 1.3)};
    };
    for (const auto& outputs : {std::vector{stats, y, z, sums, dx}, {stats, z}, {dx2}, {given, sums2, dx2}})
      compare_all(g, outputs, {xs, gs}, values, 2e-4, 1e-11);
    Runner like{g, values(1), {xs, gs}, 1};
    DeviceRunner run{like};
    run({dx2});
    const auto computes = [](const Launch& l) { return l.operand_count > kNormInputs && l.instr_count > 0; };
    const std::vector<Launch>& launches = run.program->varying;
    const bool aside = std::any_of(launches.begin(), launches.end(), [](const Launch& l) { return l.column; });
    const bool small = n / c * (aside ? 8 : 1) <= 16384;
    CHECK(std::any_of(launches.begin(), launches.end(), computes) == small);
    CHECK(behind || launches.size() == (small ? 2 : 4));
  }
}

}  // namespace

TEST(cuda_batch_norm) {
  for (const Shape& shape : {Shape{3, 2, 4, 5}, Shape{1, 7, 1, 3}, Shape{6, 1, 52, 54}})
    compare_batch_norms(shape, false);
}

// Behind convolutions, which write each channel in one piece, or the channels of a pixel side by side: full blocks of
// them and a rest, in one launch and shared by several blocks.
TEST(cuda_batch_norm_of_channels) {
  for (const int64_t last_from : {1000, 1}) {
    const ChannelsLast last(last_from);
    for (const Shape& shape : {Shape{3, 2, 4, 5}, Shape{2, 19, 3, 1}, Shape{3, 3, 26, 28}})
      compare_batch_norms(shape, true);
  }
}

// Short rows are added up one element after the other: where nearly all of a sum is in one element, as in a saturated
// softmax, its last bit is all that is left of a gradient, and that is to be the CPU's and PyTorch's.
TEST(cuda_short_sums_have_one_order) {
  for (const int64_t columns : {1, 2, 6, 15, 16}) {
    Graph g;
    const int64_t rows = 37;
    const NodeId x = g.leaf(g.add_slot("x", Kind::real, rows * columns), 0, {rows, columns});
    Values values{ramp(rows * columns, 0.2, 0.83)};
    for (int64_t row = 0; row < rows; ++row) values[0][row * columns + row % columns] *= 1e8;
    Runner like{g, values, {}, 1};
    DeviceRunner run{like};
    const std::vector<double> got = run({g.add(Op::sum, {x}, {{1}, {}})})[0];
    for (int64_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (int64_t column = 0; column < columns; ++column) sum += values[0][row * columns + column];
      CHECK(got[row] == sum);
    }
  }
}

// Layer norm's kernels; of rows that one block holds, and of more than one split.
TEST(cuda_layer_norm) {
  for (const Shape& shape : {Shape{5, 7}, Shape{2, 3, 300}, Shape{130, 4}}) {
    Graph g;
    const int64_t n = element_count(shape), d = shape.back();
    const int xs = g.add_slot("x", Kind::real, n), gs = g.add_slot("g", Kind::real, n),
              ps = g.add_slot("p", Kind::real, 2 * d);
    Shape thin(shape.size(), 1);
    thin.back() = d;
    const NodeId x = g.leaf(xs, 0, shape), gradient = g.leaf(gs, 0, shape);
    const NodeId weight = g.leaf(ps, 0, thin), bias = g.leaf(ps, d, thin);
    const Attrs eps{{}, {1e-5}};
    const NodeId pair = g.reshape(g.leaf(ps, 0, {2 * d}), {2, d});
    const NodeId y = g.add_fused(Fused::layer_norm, {x, weight, bias}, eps, x);
    const NodeId dx = g.add_fused(Fused::layer_norm_backward_input, {gradient, x, weight}, eps, x);
    const NodeId sums = g.add_fused(Fused::layer_norm_backward_sums, {gradient, x}, eps, pair);
    compare_all(
        g, {y, dx, sums}, {xs, gs},
        [&](int64_t members) {
          return Values{ramp(n * members, 0.1, 0.77), ramp(n * members, 1.1, 0.31), ramp(2 * d, 0.4)};
        },
        2e-4, 1e-11);
  }
}

// Attention of one query and of several tiles, of sizes that need smaller tiles.
TEST(cuda_attention) {
  for (const Shape& shape : {Shape{2, 1, 3, 2, 3}, Shape{1, 37, 3, 1, 45}, Shape{1, 5, 3, 2, 181}})
    for (int64_t causal = 0; causal < 2; ++causal) {
      Graph g;
      const int64_t n = element_count(shape);
      const Shape heads{shape[0], shape[1], shape[3], shape[4]};
      const int qs = g.add_slot("qkv", Kind::real, n), us = g.add_slot("u", Kind::real, n / 3);
      const NodeId qkv = g.leaf(qs, 0, shape), u = g.leaf(us, 0, heads);
      const Attrs attrs{{causal}, {0.3}};
      const NodeId y = g.add_fused(Fused::attention, {qkv}, attrs, u);
      const NodeId gradient = g.add_fused(Fused::attention_backward, {qkv, u}, attrs, qkv);
      compare_all(
          g, {y, gradient}, {qs},
          [&](int64_t members) {
            return Values{ramp(n * members, 0.1, 0.77), ramp(n / 3, 1.1, 0.31)};
          },
          2e-4, 1e-11);
    }
}
