// Training on the emulated CUDA device: a step is one recording, the host waits once per epoch, members and the order
// of threads change no bit.
#include <cstring>
#include <functional>
#include <memory>

#include "autodiff/autodiff.h"
#include "backend/cuda/runtime.h"
#include "check.h"
#include "ir/error.h"
#include "programs.h"
#include "samples.h"
#include "solvers/train.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

// y = w x over scalars, loss = mean (y - label)^2, trained on the device.
struct Regression {
  Graph graph;
  std::shared_ptr<Program> program, test_program;
  Samples samples{DType::f32};
  std::vector<std::unique_ptr<Vector>> owned;
  TrainOptions options;
  std::unique_ptr<Executor> executor;

  Vector* vector(DType dtype, int64_t rows, int64_t size, const Device* device) {
    owned.push_back(std::make_unique<Vector>(dtype, rows, size, device));
    return owned.back().get();
  }

  Regression(int64_t members, int64_t batch, int64_t epochs) {
    const int x = graph.add_slot("x", Kind::real, batch * 105), w = graph.add_slot("params", Kind::real, 105);
    const NodeId weights = graph.leaf(w, 0, {105, 1});
    const NodeId y = graph.add(Op::matmul, {graph.leaf(x, 0, {batch, 105}), weights}, {{0, 0}, {}});
    const NodeId error = graph.add(y, graph.constant(-1, {batch, 1}));
    const NodeId loss = graph.mul(graph.reshape(graph.sum(graph.mul(error, error), {0, 1}), {1}),
                                  graph.constant(1.0 / static_cast<double>(batch), {1}));
    const NodeId grad = vjp(graph, {loss}, {graph.constant(1, {1})}, {weights})[0];
    const int loss_slot = graph.add_slot("loss", Kind::real, 1), grad_slot = graph.add_slot("grad", Kind::real, 105);
    program = compile(graph, {{loss, loss_slot, 0}, {grad, grad_slot, 0}}, {DType::f64, {x, w}, true}, emulated());
    executor = std::make_unique<Executor>(program);
    const Device* device = &emulated();
    options.params = vector(DType::f64, members, 105, device);
    options.velocity = vector(DType::f64, members, 105, device);
    options.state = vector(DType::f64, members, kStateColumns, nullptr);
    options.history = vector(DType::f64, epochs, members * kHistoryColumns, nullptr);
    const int64_t steps = epochs * (samples.data.count / batch);
    Vector* lr = vector(DType::f64, members, steps, nullptr);
    Vector* momentum = vector(DType::f64, 1, steps, nullptr);
    for (int64_t m = 0; m < members; ++m) {
      options.state->as<double>(m)[kFrozenAt] = -1;
      std::fill_n(lr->as<double>(m), steps, 1e-3);
      options.seeds.push_back(kSeeds[m]);
      options.weight_decay.push_back(0.1);
    }
    options.lr = lr;
    options.momentum = momentum;
    options.ranges = {{0, 105, true}};
    options.classes = 10;
    options.train = samples.data;
    options.batch.executor = executor.get();
    options.batch.batch = batch;
    options.batch.vectors.resize(4);
    options.batch.vectors[static_cast<size_t>(x)] = vector(DType::f64, members, batch * 105, device);
    options.batch.vectors[static_cast<size_t>(w)] = options.params;
    options.batch.vectors[static_cast<size_t>(loss_slot)] = vector(DType::f64, members, 1, device);
    options.batch.vectors[static_cast<size_t>(grad_slot)] = vector(DType::f64, members, 105, device);
    options.batch.x = x;
    options.batch.loss = loss_slot;
    options.batch.grad = grad_slot;
  }
};

using Configure = std::function<void(Regression&)>;

// Clipping, several batches a step, a moving average and a second moment.
void all_of_it(Regression& r) {
  const int64_t members = r.options.params->rows();
  r.options.optimiser.kind = OptimiserKind::adamw;
  r.options.second_moment = r.vector(DType::f64, members, 105, &emulated());
  r.options.average = r.vector(DType::f64, members, 105, &emulated());
  r.options.average_decay = 0.75;
  r.options.clip = 0.01;
  r.options.accumulate = 2;
  const int64_t steps = r.options.lr->size() / 2;
  Vector* lr = r.vector(DType::f64, members, steps, nullptr);
  for (int64_t m = 0; m < members; ++m) std::fill_n(lr->as<double>(m), steps, 1e-2);
  r.options.lr = lr;
  r.options.momentum = r.vector(DType::f64, 1, steps, nullptr);
}
void nesterov(Regression& r) { r.options.optimiser.nesterov = true; }
void rmsprop(Regression& r) {
  r.options.optimiser.kind = OptimiserKind::rmsprop;
  r.options.second_moment = r.vector(DType::f64, r.options.params->rows(), 105, &emulated());
}

// Parameters and history after two epochs.
std::vector<char> trained(int64_t members, const Configure& configure) {
  Regression r(members, 30, 2);
  configure(r);
  train(r.options, nullptr);
  std::vector<char> all = bytes_of(*r.options.params);
  for (const Vector* v : {static_cast<const Vector*>(r.options.history), static_cast<const Vector*>(r.options.average)})
    if (v) {
      const std::vector<char> more = bytes_of(*v);
      all.insert(all.end(), more.begin(), more.end());
    }
  return all;
}

struct Counts {
  int64_t waits;
  bool losses_fall;
};

// Of one training without progress.
Counts counts_of(int64_t batch, int64_t epochs) {
  Regression r(kMembers, batch, epochs);
  const int64_t before = cuda_on_host::waits();
  train(r.options, nullptr);
  const int64_t waits = cuda_on_host::waits() - before;
  const double first = r.options.history->as<double>(0)[kTrainLoss];
  const double last = r.options.history->as<double>(epochs - 1)[kTrainLoss];
  return {waits, last < first};
}

}  // namespace

TEST(cuda_training_does_not_depend_on_the_order_of_threads) {
  for (const Configure& configure : {Configure(all_of_it), Configure(nesterov), Configure(rmsprop)}) {
    const std::vector<char> expected = trained(kMembers, configure);
    for (const auto order : {cuda_on_host::Order::descending, cuda_on_host::Order::shuffled}) {
      cuda_on_host::set_order(order);
      CHECK(trained(kMembers, configure) == expected);
    }
    cuda_on_host::set_order(cuda_on_host::Order::ascending);
    // Member 0 lies first in the parameters.
    const std::vector<char> alone = trained(1, configure);
    CHECK(std::equal(alone.begin(), alone.begin() + 105 * 8, expected.begin()));
  }
}

TEST(cuda_training_waits_once_per_epoch_however_many_steps) {
  const Counts one = counts_of(30, 1), two = counts_of(30, 2), three = counts_of(30, 3), long_epochs = counts_of(10, 3);
  CHECK(three.waits - two.waits == two.waits - one.waits);
  CHECK(three.waits == long_epochs.waits);
  CHECK(three.losses_fall && long_epochs.losses_fall);
}

// What a program needs beside its vectors is not needed twice, and not kept for longer than there are programs.
TEST(cuda_programs_work_in_one_arena) {
  const size_t before = cuda_on_host::memory_in_use();
  {
    Regression first(kMembers, 30, 1), second(kMembers, 30, 1);
    second.options.train = first.options.train;
    train(first.options, nullptr);
    const size_t one = cuda_on_host::memory_in_use();
    train(second.options, nullptr);
    CHECK(cuda_on_host::memory_in_use() == one + sizeof(DeviceFault));  // of the second program's executor
    CHECK(bytes_of(*first.options.params) == bytes_of(*second.options.params));
  }
  CHECK(cuda_on_host::memory_in_use() == before);
}

TEST(cuda_training_refuses_rows_that_lie_elsewhere) {
  Regression r(1, 30, 1);
  r.options.velocity = r.vector(DType::f64, 1, 105, nullptr);
  std::string code = "none";
  try {
    train(r.options, nullptr);
  } catch (const Error& error) {
    code = error.code();
  }
  CHECK(code == "INVALID_ARGUMENT");
}

// An error of the device in any of its calls is typed, and ends the training with whole members.
TEST(cuda_training_errors_are_typed) {
  for (int calls = 1; calls < 200; calls += 7) {
    std::string code = "none";
    Regression r(kMembers, 60, 2);
    try {
      cuda_on_host::fail_after(calls);
      train(r.options, nullptr);
    } catch (const Error& error) {
      code = error.code();
    }
    const bool failed = code != "none";
    cuda_on_host::fail_after(0);
    CHECK(code == "GPU_ERROR" || code == "OUT_OF_MEMORY" || (code == "none" && calls > 60));
    if (failed) continue;
    break;
  }
}
