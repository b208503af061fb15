// Programs on the emulated CUDA device against the CPU: a network with its derivatives, members, chunks, memory and
// faults.
#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

#include "autodiff/autodiff.h"
#include "backend/cuda/cut.h"
#include "backend/cuda/kernels/table.h"
#include "backend/cuda/runtime.h"
#include "device_runner.h"
#include "runtime/device_arena.h"

using namespace ptmz;
using namespace ptmz::test;

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

// Jobs on two tracks have an arena each; where only one fits, the second waits until the first has ended, and takes its
// memory over. What waits for what will never come is told so.
TEST(cuda_jobs_wait_for_each_others_memory) {
  Classifier net;
  const auto hvp = net.hvp();
  Runner like{net.g, net.values(1), {net.params, net.direction}, 1};
  DeviceRunner first{like}, second{like};
  first.runs = second.runs = 1;
  const Values expected = first(hvp);
  const int64_t arena = first.stats.arena_bytes;
  const std::atomic<bool> go_on{false};
  std::atomic<bool> stopped{true};
  std::promise<void> began, ended;
  std::shared_ptr<DeviceArena> held;  // as by a program that outlives its job
  const size_t in_use = cuda_on_host::memory_in_use();
  std::thread other([&] {
    const DeviceTrack track(emulated(), 0, go_on);
    held = DeviceArena::of(emulated());
    held->grow(arena);
    began.set_value();
    ended.get_future().wait();
  });
  began.get_future().wait();
  // Room for the vectors beside one arena.
  cuda_on_host::set_memory(in_use + static_cast<size_t>(arena) * 3 / 2);
  {
    const DeviceTrack track(emulated(), 1, stopped);
    CHECK_CODE(second(hvp), "ABORTED");
  }
  Values got;
  std::thread waiting([&] {
    const DeviceTrack track(emulated(), 1, go_on);
    got = DeviceRunner{like, nullptr, {}, 1}(hvp);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  CHECK(got.empty());
  ended.set_value();
  other.join();
  waiting.join();
  CHECK(got == expected);
  {
    const DeviceTrack track(emulated(), 1, go_on);
    cuda_on_host::set_memory(in_use + static_cast<size_t>(arena) / 2);
    CHECK_CODE(DeviceRunner{like}(hvp), "OUT_OF_MEMORY");
  }
  cuda_on_host::set_memory(size_t{1} << 34);
  CHECK(held->bytes() == 0);
  CHECK(cuda_on_host::memory_in_use() == in_use);
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
    const auto beside =
        std::count_if(program->varying.begin(), program->varying.end(), [](auto& l) { return l.beside; });
    CHECK(1 + beside == 11 + 12 + 11 + 2);  // 0.5 x of one row is read by the map after it
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
      if (device != nullptr) CHECK(kernels <= static_cast<int64_t>(p->varying.size() + p->shared.size()) - beside + 2);
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

// A block that finds out whether it is the last has a few bytes of its own, beside those that its threads ask for; the
// emulated device does not see them.
TEST(cuda_sums_leave_room_in_shared_memory) {
  Launch l{};
  l.code = LaunchCode::reduce_sum;
  l.rank = 1;
  l.shape[0] = 1 << 20;
  for (int registers = 1; registers <= 60; ++registers)
    for (const int64_t element : {4, 8}) {
      const int64_t bytes = cuda::reduction_thread_bytes(cuda::Reduction::sum, registers, element);
      const cuda::Cut cut = cuda::cut_reduction(l, bytes);
      CHECK(cut.splits > 1 && cut.tickets == 1);
      CHECK(cut.threads >= 16 && cut.threads * bytes + 16 <= 48 * 1024);
    }
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
// What a real device would answer with a fault: memory of the host in a kernel's hands, or copied as the device's.
TEST(cuda_memory_of_the_host_is_not_the_devices) {
  const auto stream = emulated().open_stream();
  std::vector<double> host(8);
  Vector device(DType::f64, 1, 8, &emulated());
  StepTask task{};
  task.code = StepCode::keep;
  task.real = DType::f64;
  task.members = 1;
  task.count = 8;
  task.to = {device.row(0), 64};
  task.from = {host.data(), 64};
  CHECK_CODE(stream->step(task), "GPU_ERROR");
  CHECK_CODE(stream->copy(device.row(0), host.data(), 64), "GPU_ERROR");
  CHECK_CODE(stream->read(host.data(), host.data(), 64), "GPU_ERROR");
  CHECK_CODE(stream->write(host.data(), host.data(), 64), "GPU_ERROR");
  CHECK_CODE(stream->zero(host.data(), 64), "GPU_ERROR");
  stream->write(device.row(0), host.data(), 64);
}

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

// Must come after all other tests of programs and operators: every launch that a compiler can emit for CUDA was run.
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
