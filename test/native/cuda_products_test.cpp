// Maps behind matrix products on the emulated CUDA device: a bias through cuBLASLt, others after the product that
// cuBLAS or our own kernels compute.
#include <functional>

#include "backend/cuda/cut.h"
#include "backend/cuda/runtime.h"
#include "device_runner.h"

using namespace ptmz;
using namespace ptmz::test;
using cuda_on_host::LtFails;

namespace {

// x (m,k) and parameters w (k,n), bias (n), as many other values as the output has, and a step between some of them.
struct Layer {
  int64_t m, n, k;
  bool x_transposed = false, w_transposed = false;
  int64_t before_bias = 0, after = 0;  // elements of the parameters that nobody reads
  Graph g = {};
  int xs = -1, params = -1, rs = -1;
  NodeId product = kNone, bias = kNone, rest = kNone;

  Layer& build() {
    xs = g.add_slot("x", Kind::real, m * k);
    params = g.add_slot("params", Kind::real, k * n + before_bias + n + after);
    rs = g.add_slot("rest", Kind::real, m * n);
    const NodeId x = g.leaf(xs, 0, x_transposed ? Shape{k, m} : Shape{m, k});
    const NodeId w = g.leaf(params, 0, w_transposed ? Shape{n, k} : Shape{k, n});
    product = g.add(Op::matmul, {x, w}, {{x_transposed, w_transposed}, {}});
    bias = g.expand(g.leaf(params, k * n + before_bias, {1, n}), {m, n});
    rest = g.leaf(rs, 0, {m, n});
    return *this;
  }
  // Which slots have a value for each member.
  Values values(const std::vector<int>& varying, int64_t members) const {
    Values all;
    for (int s = 0; s < 3; ++s) {
      const bool varies = std::find(varying.begin(), varying.end(), s) != varying.end();
      all.push_back(ramp(g.slots()[s].size * (varies ? members : 1), 0.2 + 0.3 * s, 0.71 + 0.1 * s));
    }
    return all;
  }
};

struct Counts {
  int64_t launches, kernels, products, with_bias;  // of one run
};
// Runs one node on both devices and compares. Recordings launch what the first run did.
Counts counted(Layer& layer, NodeId node, const std::vector<int>& varying, int64_t members, DType real) {
  Runner cpu{layer.g, layer.values(varying, members), varying, members};
  cpu.real = real;
  DeviceRunner cuda{cpu};
  const int64_t kernels = cuda_on_host::kernels_run(), products = cuda_on_host::products_run(),
                with_bias = cuda_on_host::products_with_bias_run();
  const Values got = cuda({node});
  const Counts counts{static_cast<int64_t>(cuda.program->shared.size() + cuda.program->varying.size()),
                      (cuda_on_host::kernels_run() - kernels) / cuda.runs,
                      (cuda_on_host::products_run() - products) / cuda.runs,
                      (cuda_on_host::products_with_bias_run() - with_bias) / cuda.runs};
  CHECK_CLOSE(difference(cpu({node})[0], got[0]), 0, real == DType::f32 ? 5e-5 : 1e-12);
  return counts;
}

// What a test says of the stand-in for cuBLASLt while it lives.
struct Failing {
  explicit Failing(LtFails where) { cuda_on_host::set_lt_fails(where); }
  ~Failing() { cuda_on_host::set_lt_fails(LtFails::nowhere); }
};

const std::vector<std::vector<int>> kVarying{{}, {0}, {1}, {0, 1}};

}  // namespace

// One launch and one kernel in float32, whichever way the matrices lie and whatever varies over members; in float64,
// for which cuBLASLt adds no bias, a second kernel.
TEST(cuda_products_with_a_bias) {
  for (int which = 0; which < 4; ++which)
    for (const auto& varying : kVarying)
      for (const int64_t members : {int64_t{1}, int64_t{3}}) {
        Layer layer{130, 128, 132, (which & 1) != 0, (which & 2) != 0};
        layer.build();
        const NodeId sum =
            which % 2 == 0 ? layer.g.add(layer.product, layer.bias) : layer.g.add(layer.bias, layer.product);
        const Counts single = counted(layer, sum, varying, members, DType::f32);
        CHECK(single.launches == 1 && single.products == 1 && single.with_bias == 1 && single.kernels == 1);
        if (which != 0) continue;
        const Counts twice = counted(layer, sum, varying, members, DType::f64);
        CHECK(twice.launches == 1 && twice.products == 1 && twice.with_bias == 0 && twice.kernels == 2);
      }
}

// A bias that cannot be read four values at a time, of one member or of the next, is added by a kernel of our own.
TEST(cuda_products_with_a_bias_between_other_parameters) {
  for (const auto& [before, after] : {std::pair{4, 8}, {2, 2}, {0, 1}}) {
    Layer layer{130, 128, 132, false, false, before, after};
    layer.build();
    const NodeId sum = layer.g.add(layer.product, layer.bias);
    const auto alone = counted(layer, sum, {}, 1, DType::f32), three = counted(layer, sum, {1}, 3, DType::f32);
    CHECK(alone.launches == 1 && alone.with_bias == (before % 4 == 0));
    CHECK(three.launches == 1 && three.with_bias == (before % 4 == 0 && after % 4 == 0));
  }
}

// What is more than a bias, or none, follows the product in a kernel of its own, within the same launch.
TEST(cuda_products_with_other_maps) {
  const std::function<NodeId(Layer&)> maps[] = {
      [](Layer& l) { return l.g.add(Op::tanh, {l.g.add(l.product, l.bias)}); },
      [](Layer& l) { return l.g.add(l.product, l.g.neg(l.bias)); },
      [](Layer& l) { return l.g.add(l.bias, l.g.neg(l.product)); },
      [](Layer& l) { return l.g.mul(l.product, l.bias); },
      [](Layer& l) { return l.g.add(l.product, l.product); },
      [](Layer& l) { return l.g.add(l.product, l.rest); },
      [](Layer& l) {
        return l.g.add(l.product, l.g.constant(0.5, {l.m, l.n}));
      },
      [](Layer& l) { return l.g.add(l.g.add(l.product, l.bias), l.rest); },
      [](Layer& l) {
        return l.g.add(l.product, l.g.expand(l.g.leaf(l.rs, 0, {l.m, 1}), {l.m, l.n}));
      }};
  for (const auto& map : maps)
    for (const int64_t members : {int64_t{1}, int64_t{3}}) {
      Layer layer{130, 128, 132};
      layer.build();
      const Counts counts = counted(layer, map(layer), {0, 1}, members, DType::f32);
      CHECK(counts.launches == 1 && counts.products == 1 && counts.with_bias == 0 && counts.kernels == 2);
    }
}

// Where cuBLASLt finds no way, or does not go it, the product and the bias are computed one after the other.
TEST(cuda_products_without_cublaslt) {
  for (const LtFails where : {LtFails::finding, LtFails::launching}) {
    const Failing failing(where);
    Layer layer{130, 128, 132};
    layer.build();
    const Counts counts = counted(layer, layer.g.add(layer.product, layer.bias), {0, 1}, 3, DType::f32);
    CHECK(counts.launches == 1 && counts.products == 1 && counts.with_bias == 0 && counts.kernels == 2);
  }
}

// Products that our own kernels compute, by each tile, in one block for each tile or in several: in the kernel that
// stores the product, where a block has room for the registers, with the bits of the two launches that they are without
// fusion.
TEST(cuda_small_products_with_maps) {
  struct Size {
    int64_t m, n, k;
    bool splits = false, full = false;  // whether blocks share a tile, and whether one has few registers
  };
  const Size sizes[] = {{5, 7, 6},
                        {40, 50, 20, false, true},
                        {7, 130, 9, false, true},
                        {3, 5, 700, true},
                        {33, 40, 600, true},
                        {4, 100, 530, true},
                        {1, 9, 3},
                        {9, 1, 3}};
  for (const Size& size : sizes)
    for (const DType real : {DType::f32, DType::f64})
      for (const int64_t members : {int64_t{1}, int64_t{3}}) {
        Layer layer{size.m, size.n, size.k};
        layer.build();
        Graph& g = layer.g;
        const NodeId sum = g.add(layer.product, layer.bias);
        const NodeId gate = g.scale(g.add(Op::erf, {g.scale(sum, 0.7)}), 0.5);
        const NodeId y = g.add(g.mul(sum, g.add(gate, layer.rest)), g.constant(0.25, {size.m, size.n}));
        for (const NodeId node : {sum, y}) {
          const Counts counts = counted(layer, node, {1, 2}, members, real);
          const bool after = size.full && node == y && real == DType::f64;
          CHECK(counts.launches == 1 && counts.products == 0 && counts.kernels == 1 + size.splits + after);
          Runner like{g, layer.values({1, 2}, members), {1, 2}, members};
          like.real = real;
          const Values fused = DeviceRunner{like}({node});
          like.fuse = false;
          CHECK(DeviceRunner{like}({node}) == fused);
        }
      }
}

// A product is written before the map behind it reads its operands: it takes the place of none of them.
TEST(cuda_products_overwrite_nothing_that_is_still_read) {
  for (const int64_t size : {12, 132}) {
    Layer layer{size, size, size};
    layer.build();
    Graph& g = layer.g;
    const NodeId other = g.add(Op::matmul, {layer.rest, layer.rest}, {{0, 1}, {}});
    const NodeId y = g.add(Op::exp, {g.scale(g.add(layer.product, other), 0.01)});
    const NodeId total = g.sum(g.mul(y, g.add(Op::sin, {y})), {1});
    for (const DType real : {DType::f32, DType::f64}) CHECK(counted(layer, total, {0, 2}, 3, real).launches == 3);
  }
}
