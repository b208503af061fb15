// What surrounds programs on the emulated CUDA device: samples that are loaded there must be those of the CPU bit for
// bit, a training step is one recording, and the host waits once per epoch.
#include <cstring>
#include <functional>
#include <memory>

#include "autodiff/autodiff.h"
#include "backend/cuda/device.h"
#include "backend/cuda/runtime.h"
#include "check.h"
#include "ir/error.h"
#include "programs.h"
#include "solvers/device_samples.h"
#include "solvers/train.h"

extern "C" const ptmz::cuda::Api* ptmz_cuda_api();

using namespace ptmz;
using ptmz::test::ramp;

namespace {

const Device& emulated() { return cuda::open_device(*ptmz_cuda_api(), 0); }

// Samples of 3 x 5 x 7 pixels, or of 4 tokens that overlap.
struct Samples {
  static constexpr int64_t kCount = 300;
  std::unique_ptr<Vector> stored, labels;
  Dataset data;

  explicit Samples(DType dtype) {
    data.count = kCount;
    if (dtype == DType::i32) {
      data.window = 4;
      data.stride = 3;
      stored = std::make_unique<Vector>(dtype, 1, kCount * 3 + 5);
      for (int64_t i = 0; i < stored->size(); ++i) stored->as<int32_t>()[i] = static_cast<int32_t>(i * i % 1009);
    } else {
      data.channels = 3;
      data.plane = 35;
      data.mean = {0.3, 0.45, 0.61};
      data.deviation = {0.21, 0.5, 1.7};
      stored = std::make_unique<Vector>(dtype, 1, kCount * 105);
      labels = std::make_unique<Vector>(DType::i32, 1, kCount);
      for (int64_t i = 0; i < stored->size(); ++i) {
        if (dtype == DType::u8) stored->as<uint8_t>()[i] = static_cast<uint8_t>(i * 37 % 251 + 1);
        if (dtype == DType::f32) stored->as<float>()[i] = std::sin(0.7f * static_cast<float>(i));
      }
      for (int64_t i = 0; i < kCount; ++i) labels->as<int32_t>()[i] = static_cast<int32_t>(i % 10);
      data.labels = labels.get();
    }
    data.resident = stored.get();
  }
};

// A program's vectors x and y on the host or on the device; no program is needed to load them.
struct Batch {
  Vector x, y;
  BatchProgram program;

  Batch(const Samples& s, DType real, int64_t rows, int64_t batch, const Device* device)
      : x(s.data.window > 0 ? DType::i32 : real, rows, batch * s.data.sample_size(), device),
        y(DType::i32, rows, batch * s.data.labels_per_sample(), device) {
    program.vectors = {&x, &y};
    program.batch = batch;
    program.x = 0;
    program.y = 1;
  }
};

std::vector<char> bytes_of(const Vector& v) {
  std::vector<char> bytes(static_cast<size_t>(v.bytes()));
  v.read(0, 0, v.rows() * v.size(), bytes.data());
  return bytes;
}

const uint64_t kSeeds[] = {5, uint64_t{1} << 40, 77};
constexpr int64_t kMembers = 3, kBatch = 20, kFirst = 260, kEpoch = 9;

// The batch of every member as the device loads it against load_batch().
void compare_loading(const Samples& s, DType real, const AugmentOptions& augment, bool ordered) {
  Batch host(s, real, kMembers, kBatch, nullptr), device(s, real, kMembers, kBatch, &emulated());
  const Normaliser normaliser(s.data);
  std::vector<int32_t> order, all;
  for (int64_t m = 0; m < kMembers; ++m) {
    shuffle(kSeeds[m], kEpoch, s.data.count, order);
    all.insert(all.end(), order.begin(), order.end());
    const Augmentation augmentation{augment, kSeeds[m], kEpoch};
    load_batch(host.program, s.data, normaliser, ordered ? order.data() : nullptr, kFirst, m,
               augment.any() ? &augmentation : nullptr);
  }

  const auto stream = emulated().open_stream();
  const DeviceSamples samples(s.data, emulated(), *stream);
  const DeviceArray<uint64_t> seeds(emulated(), *stream, {kSeeds, kSeeds + kMembers});
  const DeviceArray<int32_t> places(emulated(), kMembers * s.data.count);
  const DeviceArray<ImageDraw> draws(emulated(), kMembers * kBatch);
  const DeviceArray<uint8_t> coloured(emulated(), kMembers * kBatch * 2 * s.data.sample_size());
  const DeviceArray<StepPlace> place(emulated(), 1);
  StepTask task{};
  task.members = kMembers;
  task.place = place.data();
  task.next_place = {kEpoch, 0, kFirst, 0, 0, true};
  task.sample_count = s.data.count;
  task.seeds = seeds.data();
  task.order = places.data();
  for (const StepCode code : {StepCode::set_place, StepCode::shuffle}) {
    task.code = code;
    stream->step(task);
  }
  CHECK(places.read(*stream) == all);
  task.order = ordered ? places.data() : nullptr;
  task.augment = augment;
  task.draws = augment.any() ? draws.data() : nullptr;
  task.coloured = augment.ops && s.data.ops.colours() ? coloured.data() : nullptr;
  samples.load(*stream, device.program, task);
  stream->wait();
  CHECK(bytes_of(host.x) == bytes_of(device.x));
  CHECK(bytes_of(host.y) == bytes_of(device.y));
}

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

TEST(cuda_samples_are_loaded_as_on_the_cpu_bit_for_bit) {
  AugmentOptions none, crop, turn;
  none.height = crop.height = turn.height = 5;
  none.width = crop.width = turn.width = 7;
  crop.padding = 2;
  crop.flip = 0.5;
  turn = crop;
  turn.rotate = 170;
  for (const DType stored : {DType::u8, DType::f32})
    for (const DType real : {DType::f32, DType::f64})
      for (const AugmentOptions& augment : {none, crop, turn})
        for (const bool ordered : {true, false}) compare_loading(Samples(stored), real, augment, ordered);
  for (const bool ordered : {true, false}) compare_loading(Samples(DType::i32), DType::f64, none, ordered);
}

// Each operation of RandAugment is drawn many times; `channels` 1 leaves hue and saturation as they are.
TEST(cuda_colours_are_changed_as_on_the_cpu_bit_for_bit) {
  AugmentOptions augment;
  augment.height = 5;
  augment.width = 7;
  augment.ops = true;
  Samples jittered(DType::u8), randomly(DType::u8), grey(DType::u8);
  for (Samples* s : {&jittered, &grey})
    for (Range& factor : s->data.ops.jitter.factors) factor = {0, 3};
  jittered.data.ops.jitter.hue = {-0.5, 0.5};
  grey.data.ops.jitter.hue = {-0.5, 0.5};
  randomly.data.ops.rand_augment = {3, 30, 31};
  grey.data.ops.rand_augment = {2, 9, 31};
  grey.data.channels = 1;
  grey.data.mean.resize(1);
  grey.data.deviation.resize(1);
  for (const Samples* s : {&jittered, &randomly, &grey}) {
    compare_loading(*s, DType::f32, augment, true);
    compare_loading(*s, DType::f64, augment, false);
  }
  augment.padding = 2;
  augment.flip = 0.5;
  augment.rotate = 40;
  randomly.data.ops.erasing.probability = 0.5;
  randomly.data.fill = {0.5, -1, 2};
  compare_loading(randomly, DType::f32, augment, true);
  for (const auto order : {cuda_on_host::Order::descending, cuda_on_host::Order::shuffled}) {
    cuda_on_host::set_order(order);
    compare_loading(randomly, DType::f32, augment, true);
  }
  cuda_on_host::set_order(cuda_on_host::Order::ascending);
}

TEST(cuda_parts_of_images_are_erased_as_on_the_cpu) {
  AugmentOptions augment;
  augment.height = 5;
  augment.width = 7;
  augment.ops = true;
  for (const DType stored : {DType::u8, DType::f32})
    for (const bool noise : {true, false})
      for (const DType real : {DType::f32, DType::f64}) {
        Samples s(stored);
        s.data.ops.erasing.probability = 0.7;
        s.data.ops.erasing.noise = noise;
        if (!noise) s.data.fill = {0.5, -1, 2};
        compare_loading(s, real, augment, true);
      }
}

// What many trainings read is copied once; whoever is about to write takes that back.
TEST(cuda_samples_are_copied_once) {
  Samples s(DType::u8);
  const std::shared_ptr<const Buffer> first = s.stored->copy_on(emulated());
  CHECK(s.stored->copy_on(emulated()) == first);
  s.stored->lock_write("samples");
  s.stored->as<uint8_t>()[7] = 99;
  s.stored->unlock_write();
  compare_loading(s, DType::f32, {}, true);
  CHECK(s.stored->copy_on(emulated()) != first);
}

// Threads and blocks in another order must move nothing.
TEST(cuda_samples_do_not_depend_on_the_order_of_threads) {
  AugmentOptions turn;
  turn.height = 5;
  turn.width = 7;
  turn.rotate = 30;
  for (const auto order : {cuda_on_host::Order::descending, cuda_on_host::Order::shuffled}) {
    cuda_on_host::set_order(order);
    compare_loading(Samples(DType::u8), DType::f32, turn, true);
  }
  cuda_on_host::set_order(cuda_on_host::Order::ascending);
}

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
