// Images in the SIMD lanes through a whole program, against the same program with plain tensors: for batches that fill
// their last set and for those that do not.
#include "autodiff/autodiff.h"
#include "check.h"
#include "programs.h"

using namespace ptmz;
using ptmz::test::ramp;
using ptmz::test::Runner;

namespace {

// The CPU without images in lanes.
class PlainBackend final : public Backend {
 public:
  const char* name() const override { return "plain"; }
  int64_t partial_results(const Launch& l) const override { return cpu_backend().partial_results(l); }
  bool maps_behind_products() const override { return true; }
  void prepare(Launch& l, DType real) const override { cpu_backend().prepare(l, real); }
  void run(const Launch& l, const Instr* instrs, DType real, void* const* pointers, int64_t begin, int64_t end,
           void* scratch, KernelFault& fault) const override {
    cpu_backend().run(l, instrs, real, pointers, begin, end, scratch, fault);
  }
};

// Two convolutions with what may follow one: maps with an operand per image, per channel and per pixel, of which one is
// infinite where an image is 0, and reductions over images, channels and pixels.
struct Net {
  static constexpr int64_t kChannels = 6, kSize = 9;
  Graph g;
  const int64_t images;
  int data, weights, rows;
  NodeId x, w, v, y, hidden, out;

  explicit Net(int64_t n) : images(n) {
    const Shape plane{n, kChannels, kSize, kSize};
    data = g.add_slot("x", Kind::real, n * 4 * kSize * kSize);
    weights = g.add_slot("w", Kind::real, kChannels * 4 * 9 + kChannels * kChannels * 9);
    rows = g.add_slot("r", Kind::real, n);
    x = g.leaf(data, 0, {n, 4, kSize, kSize});
    w = g.leaf(weights, 0, {kChannels, 4, 3, 3}), v = g.leaf(weights, kChannels * 36, {kChannels, kChannels, 3, 3});
    const Attrs conv{{1, 1, 1, 1, 1, 1, 1, kSize, kSize, 3, 3}, {}};
    y = g.add(Op::conv2d, {x, w}, conv);
    const NodeId positive = g.add(g.mul(y, y), g.constant(0.5, plane));
    const NodeId per_image = g.expand(g.reshape(g.leaf(rows, 0, {n}), {n, 1, 1, 1}), plane);
    const NodeId per_channel = g.expand(g.reshape(g.leaf(weights, 0, {kChannels}), {1, kChannels, 1, 1}), plane);
    hidden = g.add(g.mul(g.add(Op::log, {positive}), per_image), per_channel);
    hidden = g.add(hidden, g.expand(g.scale(g.sum(hidden, {0, 2, 3}), 0.001), plane));
    hidden = g.mul(hidden, g.add(Op::recip, {g.expand(g.add(Op::max, {positive}, {{2, 3}, {}}), plane)}));
    out = g.add(Op::conv2d, {hidden, v}, conv);
  }

  std::vector<NodeId> results() {
    const auto all = [&](NodeId node, std::vector<int64_t> axes) { return g.sum(g.mul(node, node), std::move(axes)); };
    const auto most = [&](NodeId node, std::vector<int64_t> axes) {
      return g.add(Op::max, {node}, {std::move(axes), {}});
    };
    const NodeId loss = all(out, {0, 1, 2, 3});
    std::vector<NodeId> nodes{out,
                              loss,
                              all(out, {0}),
                              all(out, {1}),
                              all(out, {2, 3}),
                              all(out, {0, 2, 3}),
                              g.sum(out, {0, 1}),
                              most(out, {0, 2, 3}),
                              most(out, {0, 1, 2, 3}),
                              most(out, {1}),
                              g.add(Op::permute, {out}, {{1, 0, 3, 2}, {}})};
    const auto gradient = vjp(g, {loss}, {g.constant(1, g.shape(loss))}, {w, v, x});
    nodes.insert(nodes.end(), gradient.begin(), gradient.end());
    const NodeId slope = all(gradient[0], {0, 1, 2, 3});
    const auto second = vjp(g, {slope}, {g.constant(1, g.shape(slope))}, {w, x});
    nodes.insert(nodes.end(), second.begin(), second.end());
    return nodes;
  }
};

double largest(const std::vector<double>& values) {
  double most = 0;
  for (double v : values) most = std::max(most, std::fabs(v));
  return most;
}

}  // namespace

TEST(images_in_lanes_change_no_value) {
  const PlainBackend plain;
  for (const int64_t n : {3, 7, 8, 9, 12, 16, 17, 24, 27, 33, 40}) {
    for (const DType real : {DType::f32, DType::f64}) {
      Net net(n);
      const std::vector<NodeId> nodes = net.results();
      const std::vector<std::vector<double>> values{ramp(net.g.slots()[net.data].size),
                                                    ramp(net.g.slots()[net.weights].size, 0.3, 0.71), ramp(n, 0.4)};
      Runner lanes{.graph = net.g, .values = values, .real = real},
          reference{.graph = net.g, .values = values, .real = DType::f64, .backend = plain};
      const auto got = lanes(nodes);
      CHECK(lanes.program->dump().find("to_lanes") != std::string::npos);
      reference.values.resize(net.g.slots().size());
      const auto expected = reference(nodes);
      CHECK(reference.program->dump().find("to_lanes") == std::string::npos);
      for (size_t i = 0; i < nodes.size(); ++i) {
        const double bound = (real == DType::f64 ? 1e-12 : 2e-4) * largest(expected[i]);
        bool close = got[i].size() == expected[i].size();
        for (size_t k = 0; close && k < got[i].size(); ++k) close = std::fabs(got[i][k] - expected[i][k]) <= bound;
        CHECK(close);
        if (!close) std::printf("  result %zu of %ld images, %s\n", i, n, real == DType::f64 ? "float64" : "float32");
      }
    }
  }
}
