// Compiler and executor: values, derivatives, sharing, populations, memory, faults.
#include "autodiff/autodiff.h"
#include "check.h"
#include "programs.h"

using namespace ptmz;
using ptmz::test::ramp;
using ptmz::test::Runner;

namespace {

// Two dense layers with a tanh and a softmax cross-entropy: enough of everything for derivatives of order two.
struct Net {
  Graph g;
  int params, data, labels, direction;
  NodeId w1, w2, v1, v2, loss;

  explicit Net(bool fused = true) {
    params = g.add_slot("params", Kind::real, 35);
    data = g.add_slot("x", Kind::real, 24);
    labels = g.add_slot("y", Kind::index, 6);
    direction = g.add_slot("v", Kind::real, 35);
    w1 = g.leaf(params, 0, {5, 4}), w2 = g.leaf(params, 20, {3, 5});
    v1 = g.leaf(direction, 0, {5, 4}), v2 = g.leaf(direction, 20, {3, 5});
    const NodeId x = g.leaf(data, 0, {6, 4});
    const NodeId hidden = g.add(Op::tanh, {g.add(Op::matmul, {x, w1}, {{0, 1}, {}})});
    const NodeId logits = g.add(Op::matmul, {hidden, w2}, {{0, 1}, {}});
    loss = g.scale(g.sum(rows(logits, fused), {0}), 1.0 / 6);
  }

  NodeId rows(NodeId logits, bool fused) {
    const NodeId target = g.leaf(labels, 0, {6});
    const NodeId top = g.add(Op::stop_gradient, {g.add(Op::max, {logits}, {{1}, {}})});
    const NodeId shifted = g.add(logits, g.neg(g.expand(top, {6, 3})));
    const NodeId total = g.add(Op::log, {g.sum(g.add(Op::exp, {shifted}), {1})});
    const NodeId picked = g.add(Op::gather, {shifted, g.reshape(target, {6, 1})}, {{1, 0, 0}, {}});
    const NodeId row = g.reshape(g.add(total, g.neg(picked)), {6});
    return fused ? g.add_fused(Fused::softmax_cross_entropy, {logits, target}, {{0, 0}, {0}}, row) : row;
  }

  std::vector<NodeId> gradient() { return vjp(g, {loss}, {g.constant(1, {1})}, {w1, w2}); }
  std::vector<NodeId> hvp() {
    const auto grad = gradient();
    const NodeId a = g.sum(g.reshape(g.mul(grad[0], v1), {20}), {0}),
                 b = g.sum(g.reshape(g.mul(grad[1], v2), {15}), {0});
    return vjp(g, {g.add(a, b)}, {g.constant(1, {1})}, {w1, w2});
  }
  std::vector<std::vector<double>> values(int64_t rows = 1, double from = -0.9) const {
    return {ramp(35 * rows, from), ramp(24, 0.2), {0, 2, 1, 1, 0, 2}, ramp(35, 1.1)};
  }
};

std::vector<double> flat(const std::vector<std::vector<double>>& parts) {
  std::vector<double> out;
  for (const auto& p : parts) out.insert(out.end(), p.begin(), p.end());
  return out;
}

}  // namespace

TEST(gradient_and_hvp_match_finite_differences) {
  for (const bool fused : {true, false}) {
    Net net(fused);
    Runner run{net.g, net.values()};
    const auto grad = flat(run(net.gradient())), hv = flat(run(net.hvp()));
    const double h = 1e-6;
    for (int i = 0; i < 35; i += 4) {
      Runner up{net.g, net.values()}, down{net.g, net.values()};
      up.values[0][i] += h;
      down.values[0][i] -= h;
      CHECK_CLOSE(grad[i], (up({net.loss})[0][0] - down({net.loss})[0][0]) / (2 * h), 1e-8);
    }
    Runner up{net.g, net.values()}, down{net.g, net.values()};
    for (int i = 0; i < 35; ++i) {
      up.values[0][i] += h * up.values[3][i];
      down.values[0][i] -= h * down.values[3][i];
    }
    const auto after = flat(up(net.gradient())), before = flat(down(net.gradient()));
    for (int i = 0; i < 35; ++i) CHECK_CLOSE(hv[i], (after[i] - before[i]) / (2 * h), 1e-8);
  }
}

TEST(jvp_is_the_transpose_of_vjp) {
  Net net;
  const NodeId hidden = net.g.add(Op::tanh, {net.w1});
  const auto tangent = jvp(net.g, {hidden}, {net.w1}, {net.v1});
  Runner run{net.g, net.values()};
  const auto got = run({tangent[0]})[0];
  const auto w = net.values()[0], v = net.values()[3];
  for (int i = 0; i < 20; ++i) CHECK_CLOSE(got[i], v[i] * (1 - std::tanh(w[i]) * std::tanh(w[i])), 1e-14);
  CHECK(net.g.dump({tangent[0]}).find("<cotangent>") == std::string::npos);
}

TEST(a_program_never_holds_both_forms_of_a_fused_value) {
  Net net;
  const auto gradient = net.gradient(), hvp = net.hvp();
  const auto codes = [&](const std::vector<NodeId>& nodes, bool fuse) {
    Runner run{net.g, net.values()};
    run.fuse = fuse;
    run(nodes);
    return run.program->dump();
  };
  const std::string first = codes({net.loss, gradient[0]}, true);
  CHECK(first.find("softmax_cross_entropy [") != std::string::npos);
  CHECK(first.find("softmax_cross_entropy_backward [") != std::string::npos);
  CHECK(first.find("exp") == std::string::npos);
  const std::string second = codes({net.loss, gradient[0], hvp[0]}, true);
  CHECK(second.find("softmax_cross_entropy") == std::string::npos);
  CHECK(codes({net.loss, gradient[0]}, false).find("softmax_cross_entropy") == std::string::npos);
}

TEST(an_output_listed_twice_survives_the_choice_of_fused_nodes) {
  Net net;
  const auto hvp = net.hvp();
  Runner run{net.g, net.values()};
  const auto out = run({net.loss, hvp[0], net.loss, hvp[0]});
  CHECK(out[0] == out[2] && out[1] == out[3]);
}

TEST(fusion_changes_launches_not_values) {
  Net net;
  const auto hvp = net.hvp();
  Runner on{net.g, net.values()}, off{net.g, net.values()};
  off.fuse = false;
  const auto a = on(hvp), b = off(hvp);
  CHECK(on.program->shared.size() < off.program->shared.size());
  for (size_t i = 0; i < a[0].size(); ++i) CHECK_CLOSE(a[0][i], b[0][i], 1e-14);
}

TEST(members_share_one_launch_list_and_shared_launches_run_once) {
  Net net;
  const auto hvp = net.hvp();
  for (const int64_t members : {int64_t{1}, int64_t{32}}) {
    Runner run{net.g, net.values(members)};
    run.varying = {net.params};
    run.members = members;
    run(hvp);
    const auto shared = run.program->shared.size(), varying = run.program->varying.size();
    Runner one{net.g, net.values(1)};
    one.varying = {net.params};
    one(hvp);
    CHECK(one.program->shared.size() == shared && one.program->varying.size() == varying);
    CHECK(run.stats.shared_launches == static_cast<int64_t>(shared));
    CHECK(run.stats.varying_launches == static_cast<int64_t>(varying) * members);
  }
  // Probes: only the direction varies, so the gradient's own launches are shared.
  Runner probes{net.g, net.values()};
  probes.values[3] = ramp(35 * 8, 1.1);
  probes.varying = {net.direction};
  probes.members = 8;
  const auto block = probes(hvp);
  CHECK(!probes.program->shared.empty());
  for (int p = 0; p < 8; ++p) {
    Runner alone{net.g, net.values()};
    std::copy_n(probes.values[3].begin() + 35 * p, 35, alone.values[3].begin());
    const auto one = alone(hvp);
    for (int i = 0; i < 20; ++i) CHECK(one[0][i] == block[0][20 * p + i]);
  }
}

TEST(a_members_bits_depend_on_nothing_but_itself) {
  Net net;
  const auto hvp = net.hvp();
  for (const DType real : {DType::f32, DType::f64}) {
    Runner three{net.g, net.values(3)};
    three.varying = {net.params, net.direction};
    three.values[3] = ramp(105, 1.1);
    three.members = 3;
    three.real = real;
    const auto all = three(hvp);
    three.options.threads = 1;
    CHECK(three(hvp) == all);
    three.options.threads = 5;
    CHECK(three(hvp) == all);
    three.options.threads = 3;
    three.options.memory_limit =
        three.program->shared_bytes + 3 * three.program->scratch_bytes + three.program->member_bytes;
    CHECK(three(hvp) == all);
    CHECK(three.stats.chunks == 3 && three.stats.chunk_members == 1);
    for (int m = 0; m < 3; ++m) {
      Runner one{net.g, net.values(1)};
      one.real = real;
      std::copy_n(three.values[0].begin() + 35 * m, 35, one.values[0].begin());
      std::copy_n(three.values[3].begin() + 35 * m, 35, one.values[3].begin());
      const auto alone = one(hvp);
      for (int k = 0; k < 2; ++k)
        for (size_t i = 0; i < alone[k].size(); ++i) CHECK(alone[k][i] == all[k][alone[k].size() * m + i]);
    }
  }
}

TEST(one_node_goes_to_two_addresses) {
  Graph g;
  const int slot = g.add_slot("x", Kind::real, 6), out = g.add_slot("y", Kind::real, 20);
  const NodeId x = g.leaf(slot, 0, {2, 3}), y = g.add(Op::exp, {x});
  const auto program = compile(g, {{y, out, 0}, {y, out, 8}, {x, out, 14}}, {}, cpu_backend());
  Vector in(DType::f32, 1, 6), result(DType::f32, 1, 20);
  for (int i = 0; i < 6; ++i) in.as<float>()[i] = 0.25f * static_cast<float>(i);
  Executor(program).run({&in, &result}, {});
  for (int i = 0; i < 6; ++i) {
    CHECK_CLOSE(result.as<float>()[i], std::exp(0.25 * i), 1e-5);
    CHECK(result.as<float>()[i] == result.as<float>()[8 + i]);
    CHECK(result.as<float>()[14 + i] == in.as<float>()[i]);
  }
  CHECK(result.as<float>()[6] == 0 && result.as<float>()[7] == 0);
  CHECK_CODE(compile(g, {{y, out, 0}, {x, out, 3}}, {}, cpu_backend()), "INVALID_ARGUMENT");
  CHECK_CODE(compile(g, {{y, slot, 0}}, {}, cpu_backend()), "INVALID_ARGUMENT");
  CHECK_CODE(compile(g, {{y, out, 15}}, {}, cpu_backend()), "INVALID_ARGUMENT");
}

TEST(the_plan_reuses_memory) {
  Graph g;
  const int64_t n = 4096;
  NodeId x = g.leaf(g.add_slot("x", Kind::real, n), 0, {64, 64});
  for (int i = 0; i < 10; ++i) {  // a transpose between maps keeps them apart
    x = g.add(Op::permute, {g.add(Op::sin, {x})}, {{1, 0}, {}});
    x = g.sum(g.reshape(g.add(Op::exp, {x}), {64, 64, 1}), {2});
    x = g.reshape(x, {64, 64});
  }
  Runner run{g, {ramp(n)}};
  run.fuse = false;
  run({x});
  CHECK(run.program->shared.size() >= 20);
  CHECK(run.program->shared_bytes >= n * 8 && run.program->shared_bytes <= 2 * n * 8);
  // Same-shape chains run in place: one buffer, or none when the output slot takes it.
  Graph h;
  NodeId y = h.leaf(h.add_slot("x", Kind::real, n), 0, {n});
  for (int i = 0; i < 6; ++i) y = h.add(Op::sin, {y});
  Runner chain{h, {ramp(n)}};
  chain.fuse = false;
  chain({y});
  CHECK(chain.program->shared.size() == 6 && chain.program->shared_bytes == n * 8);
  chain.fuse = true;
  chain({y});
  CHECK(chain.program->shared.size() == 1 && chain.program->shared_bytes == 0);
}

TEST(faults_are_typed) {
  Net net;
  Runner run{net.g, net.values()};
  run.values[2][3] = 3;
  CHECK_CODE(run({net.loss}), "INDEX_OUT_OF_RANGE");
  run.fuse = false;
  CHECK_CODE(run({net.loss}), "INDEX_OUT_OF_RANGE");
  run.values[2][3] = -1;
  CHECK_CODE(run({net.loss}), "INDEX_OUT_OF_RANGE");
  run.values[2][3] = 1;
  run.options.memory_limit = 16;
  CHECK_CODE(run(net.hvp()), "OUT_OF_MEMORY");
  run.options.memory_limit = 0;
  const std::atomic<bool> stop{true};
  run.options.stop = &stop;
  CHECK_CODE(run({net.loss}), "ABORTED");
  run.options.stop = nullptr;
  CHECK(run({net.loss})[0][0] > 0);
}

TEST(vectors_count_their_bytes_and_their_users) {
  const int64_t before = native_bytes();
  {
    Vector v(DType::f64, 3, 10);
    CHECK(native_bytes() == before + 240);
    v.lock_read("v");
    v.lock_read("v");
    CHECK_CODE((v.lock_write("v"), 0), "BUSY");
    v.unlock_read();
    v.unlock_read();
    v.lock_write("v");
    CHECK_CODE((v.lock_read("v"), 0), "BUSY");
    v.unlock_write();
    CHECK(reinterpret_cast<uintptr_t>(v.row(0)) % 64 == 0);
  }
  CHECK(native_bytes() == before);
  CHECK_CODE(Vector(DType::f64, 1 << 30, int64_t{1} << 40), "OUT_OF_MEMORY");
  CHECK_CODE(Vector(DType::f64, 0, 1), "INVALID_ARGUMENT");
}

// A product of one number is read by a launch of its own.
TEST(map_of_a_product_of_one_number) {
  Graph g;
  const int xs = g.add_slot("x", Kind::real, 6);
  const NodeId x = g.leaf(xs, 0, {1, 6});
  const NodeId y = g.add(Op::tanh, {g.add(Op::matmul, {x, x}, {{0, 1}, {}})});
  Runner run{g, {{0.1, 0.2, 0.3, 0.1, 0.2, 0.3}}};
  CHECK(std::fabs(run({y})[0][0] - std::tanh(0.28)) < 1e-15);
}

// A map that alone reads a product runs behind it, also where it sees the product in another shape; with a second
// reader the product is a launch of its own. Both give the bits of the two launches.
void check_map_behind_product(DType real, bool shared, int64_t rows, int64_t width) {
  Graph g;
  const int xs = g.add_slot("x", Kind::real, rows * 30), ws = g.add_slot("w", Kind::real, 30 * width),
            rs = g.add_slot("r", Kind::real, rows * width);
  const NodeId product = g.add(Op::matmul, {g.leaf(xs, 0, {rows, 30}), g.leaf(ws, 0, {30, width})}, {{0, 0}, {}});
  const Shape shape = {rows / 2, 2, width};
  const NodeId bias = g.expand(g.leaf(ws, 0, {1, 1, width}), shape);
  const NodeId sum = g.add(g.add(g.add(Op::exp, {g.reshape(product, shape)}), bias), g.leaf(rs, 0, shape));
  std::vector<NodeId> outputs{sum};
  if (shared) outputs.push_back(product);
  Runner run{g, {ramp(rows * 30, 0.1), ramp(30 * width, 0.7, 0.001), ramp(rows * width, 0.3)}};
  run.real = real;
  const auto fused = run(outputs);
  CHECK((run.program->dump().find("map") == std::string::npos) == !shared);
  run.fuse = false;
  CHECK(run(outputs) == fused);
  CHECK(run.program->dump().find("map") != std::string::npos);
}
TEST(maps_behind_products) {
  for (const DType real : {DType::f32, DType::f64})
    for (const bool shared : {false, true})
      for (const int64_t rows : {4, 200})
        for (const int64_t width : {24, 50, 300, 700}) check_map_behind_product(real, shared, rows, width);
}

// A negation that one addition alone reads is no instruction: the addition subtracts, with the same bits.
TEST(additions_of_negations_subtract) {
  Graph g;
  const int xs = g.add_slot("x", Kind::real, 40);
  const NodeId x = g.leaf(xs, 0, {40}), e = g.add(Op::exp, {x}), t = g.add(Op::tanh, {x});
  Runner run{g, {ramp(40, -0.8)}};
  const auto instructions = [&](NodeId value, const char* expected) {
    run.fuse = true;
    const auto fused = run({value});
    CHECK(run.program->dump().find(expected) != std::string::npos);
    run.fuse = false;
    CHECK(run({value}) == fused);
  };
  instructions(g.add(e, g.neg(t)), "{exp tanh sub}");
  instructions(g.add(g.neg(g.mul(t, t)), e), "{exp tanh mul sub}");
  instructions(g.add(g.neg(e), g.neg(t)), "{exp tanh neg sub}");
  instructions(g.mul(g.add(e, g.neg(x)), g.add(t, g.neg(x))), "neg");  // that one has two readers
  instructions(g.neg(g.add(x, g.neg(e))), "{exp sub neg}");
}
