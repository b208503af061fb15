// Matrix products and convolutions on the emulated CUDA device, by every way of computing them and in every precision.
#include <algorithm>
#include <cmath>
#include <optional>

#include "backend/cuda/beside.h"
#include "backend/cuda/runtime.h"
#include "backend/cuda/way.h"
#include "compile/view.h"
#include "device_runner.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

// The three convolutions of one set of sizes, and which of x, w, y vary over members.
struct Convolutions {
  Graph g;
  std::vector<NodeId> nodes;
  std::vector<int> varying;

  // attrs: stride, padding, dilation, groups, size of x, kernel. Images come in this order.
  Convolutions(const std::vector<int64_t>& attrs, int64_t images, int64_t channels, int64_t outputs, int which,
               ImageOrder order = ImageOrder::as_written) {
    const ConvAttrs conv = ConvAttrs::from(attrs.data());
    const Shape xs{images, channels, attrs[7], attrs[8]}, ws{outputs, channels / attrs[6], attrs[9], attrs[10]},
        ys{images, outputs, conv.out_h(), conv.out_w()};
    std::vector<NodeId> leaf;
    for (const Shape& shape : {xs, ws, ys}) {
      const int slot = g.add_slot("s" + std::to_string(leaf.size()), Kind::real, element_count(shape));
      if (which >> slot & 1) varying.push_back(slot);
      const std::vector<int64_t>& axes = image_axes(slot == 1 ? ImageOrder::as_written : order);
      Shape lies;
      for (const int64_t axis : axes) lies.push_back(shape[axis]);
      std::vector<int64_t> back(4);
      for (int64_t d = 0; d < 4; ++d) back[axes[d]] = d;
      leaf.push_back(g.add(Op::permute, {g.leaf(slot, 0, lies)}, {back, {}}));
    }
    nodes = {g.add(Op::conv2d, {leaf[0], leaf[1]}, {attrs, {}}),
             g.add(Op::conv2d_input, {leaf[1], leaf[2]}, {attrs, {}}),
             g.add(Op::conv2d_weight, {leaf[0], leaf[2]}, {attrs, {}})};
  }
  Values values(int64_t members) const {
    Values v;
    for (int s = 0; s < 3; ++s) {
      const bool varies = std::find(varying.begin(), varying.end(), s) != varying.end();
      v.push_back(ramp(g.slots()[s].size * (varies ? members : 1), 0.3 * s, 0.91));
    }
    return v;
  }
  void compare() {
    compare_all(g, nodes, varying, [&](int64_t members) { return values(members); });
  }
};

// Takes one way of computing convolutions while it lives.
struct Forced {
  explicit Forced(cuda::Way way, int64_t columns_bytes = cuda::kColumnsBytes) { cuda::force_way(way, columns_bytes); }
  ~Forced() { cuda::force_way(std::nullopt); }
};

constexpr ImageOrder kOrders[] = {ImageOrder::as_written, ImageOrder::channels_outermost, ImageOrder::channels_last};

}  // namespace

// The three convolutions with every choice of what varies over members, by every way that there is.
TEST(cuda_convolutions_of_members) {
  for (const cuda::Way way : {cuda::Way::tiles, cuda::Way::narrow, cuda::Way::columns}) {
    const Forced forced(way);
    for (int which = 0; which < 8; ++which) {
      Convolutions({2, 1, 1, 2, 1, 1, 2, 9, 7, 3, 5}, 3, 4, 6, which, kOrders[which % 3]).compare();
      Convolutions({1, 2, 1, 1, 1, 1, 1, 6, 7, 3, 3}, 2, 3, 5, which, kOrders[(which + 1) % 3]).compare();
    }
  }
}

// Where images of five channels and more have these side by side: those on one side of a convolution, on both or on
// neither, in every order that they may come in. Kernels for few channels take none of them.
TEST(cuda_convolutions_with_channels_last) {
  const ChannelsLast from_five(5);
  int turn = 0;
  for (const cuda::Way way : {cuda::Way::tiles, cuda::Way::columns}) {
    const Forced forced(way);
    for (const auto& [channels, outputs] : {std::pair{6, 8}, {4, 6}, {6, 4}, {2, 4}}) {
      const ImageOrder order = kOrders[turn++ % 3], other = kOrders[turn % 3];
      Convolutions({2, 1, 1, 2, 1, 1, 2, 9, 7, 3, 5}, 3, channels, outputs, 7, order).compare();
      Convolutions({1, 1, 1, 1, 1, 1, 1, 6, 7, 3, 3}, 2, channels, outputs, 5, other).compare();
      Convolutions({1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1}, 1, channels, outputs, 2, other).compare();
      Convolutions({2, 1, 0, 1, 1, 2, 1, 5, 1, 3, 1}, 2, channels, outputs, 0, order).compare();
    }
  }
  // Depthwise: a kernel of one channel lies the same both ways.
  for (const cuda::Way way : {cuda::Way::tiles, cuda::Way::columns}) {
    const Forced forced(way);
    Convolutions({1, 1, 1, 1, 1, 1, 6, 5, 5, 3, 3}, 2, 6, 12, 7).compare();
  }
}

// Weights that lie in PyTorch's order are copied once for all that read them, and their gradient once into its place.
TEST(cuda_convolutions_copy_weights) {
  const auto launches = [](int64_t channels_last_from, LaunchCode code) {
    const ChannelsLast last(channels_last_from);
    Convolutions c({1, 1, 1, 1, 1, 1, 1, 6, 7, 3, 3}, 2, 6, 6, 7, ImageOrder::channels_last);
    Runner like{c.g, c.values(1), c.varying, 1};
    DeviceRunner run{like};
    run(c.nodes);
    return std::count_if(run.program->varying.begin(), run.program->varying.end(),
                         [&](const Launch& l) { return l.code == code; });
  };
  // Weights to be read, and the three results written out as the graph says.
  CHECK(launches(1, LaunchCode::map) == 1 + 3);
  // Both images to be read, and the two images that come out.
  CHECK(launches(7, LaunchCode::map) == 2 + 2);
}

// Chunks of images that fit so many bytes, the last one smaller, down to images one by one; and what fits not at all.
TEST(cuda_convolutions_over_columns) {
  const std::vector<std::vector<int64_t>> all{{1, 1, 1, 1, 1, 1, 1, 6, 5, 3, 3},
                                              {2, 2, 1, 1, 1, 1, 2, 7, 7, 3, 3},
                                              {1, 1, 2, 2, 2, 2, 1, 6, 6, 3, 3},
                                              {2, 2, 0, 0, 1, 1, 1, 5, 6, 1, 1},
                                              {3, 2, 1, 0, 1, 2, 3, 8, 9, 2, 3}};
  for (const auto& attrs : all) {
    const ConvAttrs conv = ConvAttrs::from(attrs.data());
    const int64_t image = 6 * attrs[9] * attrs[10] * conv.out_h() * conv.out_w() * 4;
    for (const int64_t images : {1, 2, 3, 7}) {
      const Forced forced(cuda::Way::columns, images * image);  // half as many in float64
      const ImageOrder order = kOrders[images % 3];
      const ChannelsLast last(images > 2 ? 6 : 13);
      const int64_t before = cuda_on_host::products_run();
      Convolutions(attrs, 7, 6, 12, 7, order).compare();
      // Three launches in three runs, for one member and for three: as many products, since all members are in each.
      const int64_t chunks = (7 + images - 1) / images, twice = images == 1 ? 0 : (7 + images / 2 - 1) / (images / 2);
      CHECK(cuda_on_host::products_run() - before == 3 * 3 * 2 * attrs[6] * (chunks + twice));
    }
  }
}

// A 1x1 convolution that skips no pixel is one product for each group, in no room at all: its images are the columns.
TEST(cuda_convolutions_of_single_pixels) {
  const Forced forced(cuda::Way::columns, 1);
  const int64_t before = cuda_on_host::products_run();
  Convolutions({1, 1, 0, 0, 1, 1, 3, 5, 4, 1, 1}, 7, 6, 12, 7, ImageOrder::channels_outermost).compare();
  Convolutions({1, 1, 0, 0, 1, 1, 1, 5, 4, 1, 1}, 1, 6, 5, 7).compare();
  const ChannelsLast last(1);
  Convolutions({1, 1, 0, 0, 1, 1, 3, 5, 4, 1, 1}, 7, 6, 12, 7, ImageOrder::channels_last).compare();
  CHECK(cuda_on_host::products_run() - before == 3 * 3 * 2 * 2 * (3 + 1 + 3));
}

// Convolutions of few channels that do not wait for each other are one kernel, up to sixteen of them; one that reads
// what another of them writes is not among them. Each has scratch of its own: weight gradients of many pixels are
// shared by several blocks.
TEST(cuda_convolutions_side_by_side) {
  Graph g;
  const int64_t images = 6, size = 24;
  const std::vector<int64_t> attrs{1, 1, 1, 1, 1, 1, 1, size, size, 3, 3}, plain{1, 1, 0, 0, 1, 1, 1, size, size, 1, 1};
  const Shape shape{images, 3, size, size};
  const int xs = g.add_slot("x", Kind::real, 2 * element_count(shape)), ws = g.add_slot("w", Kind::real, 13 * 81);
  const NodeId x = g.leaf(xs, 0, shape), y = g.leaf(xs, element_count(shape), shape);
  const auto weights = [&](int64_t i, Shape of) { return g.leaf(ws, 81 * i, std::move(of)); };
  std::vector<NodeId> nodes;
  for (int64_t i = 0; i < 9; ++i) {
    nodes.push_back(g.add(Op::conv2d, {i % 2 ? x : y, weights(i, {3, 3, 3, 3})}, {attrs, {}}));
    nodes.push_back(g.add(Op::conv2d_input, {weights(i + 1, {3, 3, 3, 3}), i % 2 ? y : x}, {attrs, {}}));
    nodes.push_back(g.add(Op::conv2d_weight, {i % 2 ? x : y, y}, {i % 3 ? attrs : plain, {}}));
  }
  const auto compiled = [&](const std::vector<NodeId>& wanted) {
    Runner like{g, {ramp(2 * element_count(shape), 0.3, 0.91), ramp(13 * 81)}, {xs, ws}, 1};
    DeviceRunner run{like};
    run.runs = 1;
    const int64_t before = cuda_on_host::kernels_run();
    run(wanted);
    return std::pair{run.program, cuda_on_host::kernels_run() - before};
  };
  // Behind all of them, so that nothing else is in between.
  const auto maps = [&](std::vector<NodeId> of) {
    for (NodeId& node : of) node = g.add(Op::tanh, {g.scale(node, 0.01)});
    return of;
  };
  nodes = maps(nodes);
  const auto [program, kernels] = compiled(nodes);
  int64_t groups = 0, longest = 0, length = 0, share = 0;
  for (const Launch& l : program->varying) {
    groups += !l.beside;
    length = l.beside ? length + 1 : 1;
    longest = std::max(longest, length);
    share += l.beside && l.tickets > 0;
  }
  CHECK(longest > 16 && longest <= 32 && share > 1);
  CHECK(kernels == groups + 1);
  const auto values = [&](int64_t members) {
    return Values{ramp(2 * element_count(shape) * members, 0.3, 0.91), ramp(13 * 81)};
  };
  compare_all(g, nodes, {xs}, values);

  // A chain: of four, two wait for the one before.
  const NodeId first = g.add(Op::conv2d, {x, weights(10, {3, 3, 3, 3})}, {attrs, {}});
  const NodeId second = g.add(Op::conv2d, {first, weights(11, {3, 3, 3, 3})}, {attrs, {}});
  const NodeId other = g.add(Op::conv2d, {y, weights(12, {3, 3, 3, 3})}, {attrs, {}});
  const NodeId third = g.add(Op::conv2d_input, {weights(11, {3, 3, 3, 3}), second}, {attrs, {}});
  const std::vector<NodeId> ends = maps({third, other});
  const std::vector<Launch> chain = compiled(ends).first->varying;
  std::vector<bool> beside;
  for (const Launch& l : chain)
    if (l.code != LaunchCode::map) beside.push_back(l.beside);
  CHECK((beside == std::vector<bool>{false, false, true, false}));
  compare_all(g, ends, {xs}, values);
}

// A single channel is one row of pixels, whatever the stride of its axis says; a slice of a larger tensor has gaps.
TEST(cuda_convolutions_of_single_channels) {
  const Forced forced(cuda::Way::columns);
  const int64_t before = cuda_on_host::products_run();
  for (const ImageOrder order : {ImageOrder::as_written, ImageOrder::channels_outermost})
    for (const int64_t kernel : {1, 3})
      for (const auto& [channels, outputs] : {std::pair{1, 5}, {4, 1}, {1, 1}})
        Convolutions({1, 1, kernel / 2, kernel / 2, 1, 1, 1, 5, 4, kernel, kernel}, 3, channels, outputs, 7, order)
            .compare();
  CHECK(cuda_on_host::products_run() - before == 2 * 2 * 3 * 3 * 3 * 2 * 2);
  Graph g;
  const NodeId all = g.leaf(g.add_slot("x", Kind::real, 5 * 6 * 7 * 8), 0, {5, 6, 7, 8});
  const NodeId x = g.add(Op::slice, {all}, {{1, 0, 1, 2, 5, 6, 7, 7, 2, 2, 1, 1}, {}});  // (2,3,6,5)
  const NodeId w = g.leaf(g.add_slot("w", Kind::real, 4 * 3 * 9), 0, {4, 3, 3, 3});
  const std::vector<NodeId> nodes{g.add(Op::conv2d, {x, w}, {{1, 1, 1, 1, 1, 1, 1, 6, 5, 3, 3}, {}})};
  compare_all(g, nodes, {0}, [](int64_t members) {
    return Values{ramp(5 * 6 * 7 * 8 * members, 0.3, 0.91), ramp(4 * 3 * 9)};
  });
}

// Of a precision, the columns' product keeps what a matrix product does.
TEST(cuda_convolutions_in_less_precision) {
  const Forced forced(cuda::Way::columns);
  Convolutions c({1, 1, 1, 1, 1, 1, 1, 6, 6, 3, 3}, 3, 4, 5, 7);
  Runner like{c.g, c.values(2), c.varying, 2};
  like.real = DType::f32;
  DeviceRunner exact{like};
  const Values expected = exact(c.nodes);
  for (const auto& [precision, bits] : {std::pair{Precision::tf32, 10}, {Precision::bf16, 7}}) {
    DeviceRunner run{like};
    run.precision = precision;
    const Values got = run(c.nodes);
    for (size_t i = 0; i < got.size(); ++i) {
      const double gap = difference(expected[i], got[i]);
      CHECK(gap > std::ldexp(0.05, -bits) && gap < std::ldexp(2, -bits));
    }
  }
}

// What is chosen where nothing is forced: few channels, what a network's layers of ordinary width are, and wide ones.
TEST(cuda_ways_of_convolutions) {
  const auto conv = [](int64_t images, int64_t channels, int64_t outputs, int64_t size, int64_t kernel) {
    Launch l{};
    l.code = LaunchCode::conv2d;
    l.rank = 7;
    const int64_t shape[] = {images, channels, size, size, outputs, size, size};
    const int64_t ints[] = {1, 1, kernel / 2, kernel / 2, 1, 1, 1, size, size, kernel, kernel};
    std::copy(std::begin(shape), std::end(shape), l.shape);
    std::copy(std::begin(ints), std::end(ints), l.ints);
    return l;
  };
  const auto way = [&](int64_t images, int64_t channels, int64_t outputs, int64_t size, int64_t kernel, bool library) {
    return cuda::way_of(conv(images, channels, outputs, size, kernel), DType::f32, library);
  };
  for (const bool library : {false, true}) {
    CHECK(way(8, 3, 2, 32, 3, library) == cuda::Way::narrow);
    CHECK(way(128, 16, 16, 32, 3, library) == cuda::Way::narrow);
    CHECK(way(8, 64, 64, 4, 3, library) == cuda::Way::tiles);
    CHECK(way(128, 64, 64, 32, 3, library) == (library ? cuda::Way::columns : cuda::Way::tiles));
    CHECK(way(8, 256, 256, 32, 3, library) == (library ? cuda::Way::columns : cuda::Way::tiles));
  }
  CHECK(way(1, 512, 64, 256, 7, true) == cuda::Way::tiles);  // one image is more than its columns may take
  // Side by side with others: short ones of few channels.
  CHECK(cuda::runs_beside(conv(8, 16, 16, 32, 3), DType::f32));
  CHECK(!cuda::runs_beside(conv(128, 16, 16, 32, 3), DType::f32));
  CHECK(!cuda::runs_beside(conv(8, 64, 64, 4, 3), DType::f32));
}

// Products that are large enough for cuBLAS, of every reading of the operands, over a batch or over members.
TEST(cuda_large_products) {
  const int64_t before = cuda_on_host::products_run();
  for (int which = 0; which < 4; ++which) {
    const bool ta = which & 1, tb = which & 2;
    for (const int64_t batch : {int64_t{1}, int64_t{2}}) {
      Graph g;
      const int64_t m = 130, n = 125, k = 140;
      const int as = g.add_slot("a", Kind::real, batch * m * k), bs = g.add_slot("b", Kind::real, n * k);
      const NodeId a = g.leaf(as, 0, ta ? Shape{batch, k, m} : Shape{batch, m, k});
      const NodeId b =
          g.expand(g.leaf(bs, 0, tb ? Shape{1, n, k} : Shape{1, k, n}), tb ? Shape{batch, n, k} : Shape{batch, k, n});
      const std::vector<NodeId> nodes{g.add(Op::matmul, {a, b}, {{ta, tb}, {}})};
      for (const int64_t members : {int64_t{1}, int64_t{3}}) {
        const Values values{ramp(batch * m * k * members, 0.1, 0.7), ramp(n * k, 0.4, 0.3)};
        compare(g, nodes, values, {as}, members, DType::f32, 2e-5);
        compare(g, nodes, values, {as}, members, DType::f64, 1e-12);
      }
    }
  }
  CHECK(cuda_on_host::products_run() > before);
}

namespace {

// To the nearest number with so many bits behind the point.
double rounded(double x, int bits) {
  int exponent;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, bits + 1)), exponent - bits - 1);
}

}  // namespace

// What a precision keeps of the factors is kept exactly; a program that has none says so.
TEST(cuda_precisions) {
  const int64_t m = 128, n = 130, k = 140;
  Graph g;
  const int as = g.add_slot("a", Kind::real, m * k), bs = g.add_slot("b", Kind::real, k * n);
  const NodeId y = g.add(Op::matmul, {g.leaf(as, 0, {m, k}), g.leaf(bs, 0, {k, n})}, {{0, 0}, {}});
  Runner like{g, {ramp(m * k, 0.1, 0.7), ramp(k * n, 0.4, 0.3)}, {}, 1};
  like.real = DType::f32;
  const std::pair<Precision, int> all[] = {{Precision::full, 23}, {Precision::tf32, 10}, {Precision::bf16, 7}};
  for (const auto& [precision, bits] : all) {
    DeviceRunner run{like};
    run.precision = precision;
    const std::vector<double> got = run({y})[0];
    double gap = 0, loss = 0;
    for (int64_t i = 0; i < m * n; i += 97) {
      double exact = 0, expected = 0;
      for (int64_t p = 0; p < k; ++p) {
        const float a = static_cast<float>(like.values[0][i / n * k + p]);
        const float b = static_cast<float>(like.values[1][p * n + i % n]);
        exact += static_cast<double>(a) * b;
        expected += rounded(a, bits) * rounded(b, bits);
      }
      gap = std::max(gap, std::fabs(got[i] - expected));
      loss = std::max(loss, std::fabs(got[i] - exact));
    }
    CHECK_CLOSE(gap, 0, 1e-4);
    CHECK(precision == Precision::full ? loss < 1e-4
                                       : loss > std::ldexp(0.1, -bits) && loss < k * std::ldexp(1, -bits));
    const std::string dump = run.program->dump();
    CHECK((dump.find("precision ") == 0) == (precision != Precision::full));
  }
  const int out = g.add_slot("out", Kind::real, m * n);
  CHECK_CODE(compile(g, {{y, out, 0}}, {DType::f64, {}, true, Precision::tf32}, emulated()), "UNSUPPORTED");
  CHECK_CODE(compile(g, {{y, out, 0}}, {DType::f32, {}, true, Precision::bf16}, cpu_backend()), "UNSUPPORTED");
}
