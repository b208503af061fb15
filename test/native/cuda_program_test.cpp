// Programs on the emulated CUDA device against the same programs on the CPU: random graphs over every operator, models
// of several kinds with their derivatives, members, chunks, recordings, memory and faults.
#include <random>

#include "autodiff/autodiff.h"
#include "device_runner.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

// ---- random graphs

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

// Small outputs cost one launch, whatever they are made of; those that others read or that overlap keep their order.
TEST(cuda_small_maps_run_together) {
  Graph g;
  const int ps = g.add_slot("p", Kind::real, 12 * 9), xs = g.add_slot("x", Kind::real, 2000),
            to = g.add_slot("to", Kind::real, 4000);
  std::vector<Output> outputs;
  std::vector<NodeId> leaf;
  int64_t at = 0;
  const auto put = [&](NodeId node) {
    outputs.push_back({node, to, at});
    at += element_count(g.shape(node)) + 3;
  };
  for (int i = 0; i < 12; ++i) {
    leaf.push_back(g.leaf(ps, 9 * i, {9}));
    put(g.scale(leaf.back(), 0.5));
    put(g.add(g.scale(leaf.back(), 0.1 * i), g.scale(leaf[0], 2)));
    put(g.sum(g.reshape(g.add(Op::sin, {leaf.back()}), {3, 3}), {0}));
  }
  const NodeId large = g.leaf(xs, 0, {2000});
  put(g.add(Op::tanh, {large}));                                // of more elements than are small
  put(g.add(Op::pad, {g.scale(leaf[1], 3)}, {{2, 3, 1}, {}}));  // zeros, and a window in them
  put(g.add(Op::concat, {leaf[2], g.scale(leaf[3], 2)}, {{0}, {}}));
  for (int i = 1; i < 12; ++i) put(g.add(Op::exp, {g.add(Op::tanh, {g.mul(leaf[i], leaf[i - 1])})}));
  put(g.sum(g.mul(leaf[5], leaf[6]), {0}));
  for (const DType real : {DType::f32, DType::f64}) {
    const auto program = compile(g, outputs, {real, {ps}}, emulated());
    CHECK(program->together == 11 + 12 + 11 + 2);  // 0.5 x of one row is read by the map after it
    const Values values{ramp(3 * 12 * 9, 0.2, 0.4), ramp(2000)};
    const auto fill = [&](Vector& v, const std::vector<double>& numbers) {
      Vector host(real, v.rows(), v.size());
      for (int64_t i = 0; i < v.rows() * v.size(); ++i) Runner::set(host, i, numbers[static_cast<size_t>(i)]);
      for (int64_t r = 0; r < v.rows(); ++r) v.write(r, 0, v.size(), host.row(r));
    };
    const auto run = [&](const std::shared_ptr<Program>& p, const Device* device) {
      Vector params(real, 3, 12 * 9, device), x(real, 1, 2000, device), out(real, 3, 4000, device);
      fill(params, values[0]);
      fill(x, values[1]);
      fill(out, std::vector<double>(3 * 4000, -7));
      RunOptions options;
      options.members = 3;
      Executor executor(p);
      const int64_t before = cuda_on_host::kernels_run();
      executor.run({&params, &x, &out}, options);
      const int64_t kernels = cuda_on_host::kernels_run() - before;
      executor.run({&params, &x, &out}, options);
      executor.run({&params, &x, &out}, options);
      if (device != nullptr)
        CHECK(kernels <= static_cast<int64_t>(p->varying.size() + p->shared.size()) - p->together + 3);
      Vector host(real, 3, 4000);
      for (int64_t r = 0; r < 3; ++r) out.read(r, 0, 4000, host.row(r));
      std::vector<double> all;
      for (int64_t i = 0; i < 3 * 4000; ++i) all.push_back(Runner::get(host, i));
      return all;
    };
    const auto expected = run(compile(g, outputs, {real, {ps}}, cpu_backend()), nullptr);
    CHECK_CLOSE(difference(expected, run(program, &emulated())), 0, real == DType::f32 ? 1e-6 : 1e-14);
  }
}

// Batch norm's kernels; their composites are never computed here, so any node of that shape stands for one.
TEST(cuda_batch_norm) {
  for (const Shape& shape : {Shape{3, 2, 4, 5}, Shape{1, 7, 1, 3}, Shape{6, 1, 52, 54}})
    for (int64_t relu = 0; relu < 2; ++relu) {
      Graph g;
      const int64_t c = shape[1], n = element_count(shape);
      const int xs = g.add_slot("x", Kind::real, n), gs = g.add_slot("g", Kind::real, n),
                ps = g.add_slot("p", Kind::real, 2 * c), rs = g.add_slot("r", Kind::real, n);
      const NodeId x = g.leaf(xs, 0, shape), gradient = g.leaf(gs, 0, shape), residual = g.leaf(rs, 0, shape);
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
      compare_all(
          g, {stats, y, z, sums, dx}, {xs, gs},
          [&](int64_t members) {
            return Values{ramp(n * members, 0.1, 0.77), ramp(n * members, 1.1, 0.31), ramp(2 * c, 0.4),
                          ramp(n, 0.9, 1.3)};
          },
          2e-4, 1e-11);
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

namespace {

// A small network with everything that a classifier has, for gradients and Hessian-vector products.
struct Classifier {
  Graph g;
  int params, data, labels, direction;
  std::vector<NodeId> weights, directions;
  NodeId loss;

  Classifier() {
    const std::vector<Shape> shapes{{4, 2, 3, 3}, {4}, {4, 2, 3, 3}, {5, 4}, {5}};
    int64_t size = 0;
    for (const Shape& s : shapes) size += element_count(s);
    params = g.add_slot("params", Kind::real, size);
    data = g.add_slot("x", Kind::real, 6 * 2 * 8 * 8);
    labels = g.add_slot("y", Kind::index, 6);
    direction = g.add_slot("v", Kind::real, size);
    int64_t at = 0;
    for (const Shape& s : shapes) {
      weights.push_back(g.leaf(params, at, s));
      directions.push_back(g.leaf(direction, at, s));
      at += element_count(s);
    }
    const NodeId x = g.leaf(data, 0, {6, 2, 8, 8});
    const std::vector<int64_t> first{1, 1, 1, 1, 1, 1, 1, 8, 8, 3, 3}, second{2, 2, 1, 1, 1, 1, 2, 8, 8, 3, 3};
    NodeId h = g.add(Op::conv2d, {x, weights[0]}, {first, {}});
    h = g.add(Op::tanh, {g.add(h, g.expand(g.reshape(weights[1], {1, 4, 1, 1}), {6, 4, 8, 8}))});
    h = g.add(Op::erf, {g.add(Op::conv2d, {h, weights[2]}, {second, {}})});
    const NodeId pooled = g.scale(g.reshape(g.sum(h, {2, 3}), {6, 4}), 1.0 / 16);
    const NodeId product = g.add(Op::matmul, {pooled, weights[3]}, {{0, 1}, {}});
    const NodeId logits = g.add(product, g.expand(g.reshape(weights[4], {1, 5}), {6, 5}));
    const NodeId target = g.leaf(labels, 0, {6});
    const NodeId top = g.add(Op::stop_gradient, {g.add(Op::max, {logits}, {{1}, {}})});
    const NodeId shifted = g.add(logits, g.neg(g.expand(top, {6, 5})));
    const NodeId total = g.add(Op::log, {g.sum(g.add(Op::exp, {shifted}), {1})});
    const NodeId picked = g.add(Op::gather, {shifted, g.reshape(target, {6, 1})}, {{1, 0, 0}, {}});
    const NodeId row = g.reshape(g.add(total, g.neg(picked)), {6});
    const NodeId rows = g.add_fused(Fused::softmax_cross_entropy, {logits, target}, {{0, 0}, {0}}, row);
    loss = g.scale(g.sum(rows, {0}), 1.0 / 6);
  }

  std::vector<NodeId> gradient() { return vjp(g, {loss}, {g.constant(1, {1})}, weights); }
  std::vector<NodeId> hvp() {
    const std::vector<NodeId> grad = gradient();
    NodeId total = kNone;
    for (size_t i = 0; i < grad.size(); ++i) {
      const NodeId inner = g.sum(g.reshape(g.mul(grad[i], directions[i]), {element_count(g.shape(grad[i]))}), {0});
      total = total == kNone ? inner : g.add(total, inner);
    }
    return vjp(g, {total}, {g.constant(1, {1})}, weights);
  }
  Values values(int64_t members) const {
    const int64_t n = g.slots()[params].size;
    return {ramp(n * members), ramp(g.slots()[data].size, 0.2, 0.9), {0, 2, 1, 4, 3, 2}, ramp(n * members, 1.1)};
  }
};

}  // namespace

TEST(cuda_gradient_and_hvp_of_a_network) {
  Classifier net;
  std::vector<NodeId> nodes = net.gradient();
  nodes.push_back(net.loss);
  const auto values = [&](int64_t members) { return net.values(members); };
  compare_all(net.g, nodes, {net.params, net.direction}, values, 1e-4, 1e-11);
  Classifier second;
  compare_all(second.g, second.hvp(), {second.params, second.direction}, values, 1e-3, 1e-10);
  // Probes: the gradient's own launches are shared by all directions.
  Classifier probes;
  Values one = probes.values(1);
  one[3] = probes.values(3)[3];
  compare(probes.g, probes.hvp(), one, {probes.direction}, 3, DType::f64, 1e-10);
}

TEST(cuda_members_bits_do_not_depend_on_others_or_on_chunks) {
  Classifier net;
  const auto hvp = net.hvp();
  Runner like{net.g, net.values(5), {net.params, net.direction}, 5};
  like.real = DType::f32;
  DeviceRunner five{like};
  const Values all = five(hvp);
  CHECK(five.stats.chunks == 1 && five.stats.chunk_members == 5);
  CHECK(five.stats.varying_launches == static_cast<int64_t>(five.program->varying.size()));
  int64_t scratch = 0;
  for (const Launch& l : five.program->varying) scratch = std::max(scratch, l.scratch_bytes);
  like.options.memory_limit = five.program->shared_bytes + 2 * (five.program->member_bytes + scratch);
  DeviceRunner chunks{like};
  CHECK(chunks(hvp) == all);
  CHECK(chunks.stats.chunks == 3 && chunks.stats.chunk_members == 2);
  CHECK(chunks.stats.arena_bytes <= like.options.memory_limit);
  for (int64_t m = 0; m < 5; ++m) {
    Runner alone{net.g, net.values(1), {net.params, net.direction}, 1};
    alone.real = DType::f32;
    const Values many = net.values(5);
    for (const int slot : {net.params, net.direction}) {
      const auto n = static_cast<int64_t>(alone.values[slot].size());
      std::copy_n(many[slot].begin() + m * n, n, alone.values[slot].begin());
    }
    DeviceRunner one{alone};
    const Values got = one(hvp);
    for (size_t k = 0; k < got.size(); ++k)
      for (size_t i = 0; i < got[k].size(); ++i) CHECK(got[k][i] == all[k][got[k].size() * m + i]);
  }
}

TEST(cuda_smaller_chunks_are_tried_before_memory_is_said_to_be_out) {
  Classifier net;
  const auto hvp = net.hvp();
  Runner like{net.g, net.values(4), {net.params, net.direction}, 4};
  DeviceRunner plain{like};
  const Values expected = plain(hvp);
  const size_t in_use = cuda_on_host::memory_in_use();
  // Room for the vectors and about two members.
  size_t vectors = 0;
  for (const ProgramSlot& s : plain.program->slots)
    if (s.read || s.written) vectors += static_cast<size_t>(s.size) * 8 * (s.varies ? 4 : 1);
  cuda_on_host::set_memory(in_use + vectors + static_cast<size_t>(plain.program->shared_bytes) +
                           static_cast<size_t>(plain.program->member_bytes) * 5 / 2 + 8192);
  DeviceRunner tight{like};
  CHECK(tight(hvp) == expected);
  CHECK(tight.stats.chunks > 1);
  cuda_on_host::set_memory(in_use + vectors + 1000);
  DeviceRunner hopeless{like};
  CHECK_CODE(hopeless(hvp), "OUT_OF_MEMORY");
  cuda_on_host::set_memory(in_use + 10);
  CHECK_CODE(Vector(DType::f32, 1, 1000, &emulated()), "OUT_OF_MEMORY");
  cuda_on_host::set_memory(size_t{1} << 34);
  DeviceRunner after{like};
  CHECK(after(hvp) == expected);
  CHECK(cuda_on_host::memory_in_use() == in_use);
}

TEST(cuda_faults_are_typed) {
  Classifier net;
  Runner like{net.g, net.values(3), {net.params}, 3};
  for (const bool fuse : {true, false})
    for (const double label : {5.0, -1.0}) {
      like.fuse = fuse;
      like.values[2][3] = label;
      DeviceRunner run{like};
      CHECK_CODE(run({net.loss}), "INDEX_OUT_OF_RANGE");
    }
  like.values[2][3] = 1;
  const std::atomic<bool> stop{true};
  like.options.stop = &stop;
  DeviceRunner stopped{like};
  CHECK_CODE(stopped({net.loss}), "ABORTED");
  like.options.stop = nullptr;
  DeviceRunner good{like};
  CHECK(good({net.loss})[0][0] > 0);
  CHECK_CODE(backend_of("cuda:x"), "INVALID_ARGUMENT");
  CHECK_CODE(backend_of("gpu"), "INVALID_ARGUMENT");
  CHECK_CODE(cuda::open_device(*ptmz_cuda_api(), 1), "CUDA_UNAVAILABLE");
  // A vector of the host in a program of the device.
  Vector host(DType::f32, 1, 4), out(DType::f32, 1, 4, &emulated());
  Graph g;
  const int in = g.add_slot("in", Kind::real, 4), to = g.add_slot("to", Kind::real, 4);
  const auto program = compile(g, {{g.add(Op::exp, {g.leaf(in, 0, {4})}), to, 0}}, {}, emulated());
  CHECK_CODE(Executor(program).run({&host, &out}, {}), "INVALID_ARGUMENT");
}

// Whichever call fails first, it ends in a typed error and the device works on.
TEST(cuda_errors_of_the_device_are_typed) {
  Graph g;
  const int in = g.add_slot("in", Kind::real, 4), to = g.add_slot("to", Kind::real, 4);
  const auto program = compile(g, {{g.add(Op::exp, {g.leaf(in, 0, {4})}), to, 0}}, {}, emulated());
  Vector a(DType::f32, 1, 4, &emulated()), b(DType::f32, 1, 4, &emulated());
  Executor executor(program);
  executor.run({&a, &b}, {});
  for (int calls = 1; calls <= 2; ++calls) {
    cuda_on_host::fail_after(calls);
    CHECK_CODE(executor.run({&a, &b}, {}), "GPU_ERROR");
    cuda_on_host::fail_after(0);
  }
  cuda_on_host::fail_after(1);
  try {
    Executor(program).run({&a, &b}, {});
  } catch (const Error& error) {
    CHECK(error.code() == "OUT_OF_MEMORY" || std::string(error.what()).find("cudaError") != std::string::npos);
  }
  cuda_on_host::fail_after(0);
  executor.run({&a, &b}, {});
  float values[4];
  b.read(0, 0, 4, values);
  CHECK(values[0] == 1 && values[3] == 1);
}

// Must be the last of the program tests: every launch that a compiler can emit for CUDA was run.
TEST(cuda_every_launch_was_run) {
  for (int code = 0; code < static_cast<int>(LaunchCode::count); ++code) {
    const auto launch = static_cast<LaunchCode>(code);
    if (launch == LaunchCode::to_lanes || launch == LaunchCode::from_lanes) {
      CHECK(codes_seen().count(launch) == 0);
    } else {
      CHECK(codes_seen().count(launch) == 1);
      if (codes_seen().count(launch) == 0) std::printf("  %s was not\n", name(launch));
    }
  }
}
