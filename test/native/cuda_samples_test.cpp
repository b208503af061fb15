// Samples that the emulated CUDA device loads: those of the CPU bit for bit, augmented or not, from memory or from
// files.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "backend/cuda/runtime.h"
#include "check.h"
#include "samples.h"
#include "solvers/device_samples.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

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

constexpr int64_t kBatch = 20, kFirst = 260, kEpoch = 9;

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

// Of tokens i^2 % 1009, as Samples has them.
class TokensOnDisk {
 public:
  TokensOnDisk() : path_("/tmp/ptmz-cuda-tokens-" + std::to_string(getpid())), samples_(DType::i32) {
    write(samples_.stored->size());
    data = samples_.data;
    data.count = 50;
    data.resident = nullptr;
    data.file = std::make_shared<TokenFile>(path_, 1009);
  }
  ~TokensOnDisk() { std::remove(path_.c_str()); }
  // The first so many of them.
  void write(int64_t count) const {
    std::ofstream file(path_, std::ios::binary | std::ios::trunc);
    for (int64_t i = 0; i < count; ++i) {
      const int32_t token = samples_.stored->as<int32_t>()[i];
      for (const int byte : {token & 255, token >> 8}) file.put(static_cast<char>(byte));
    }
  }
  Dataset data;

 private:
  const std::string path_;
  const Samples samples_;
};

// Batches of 7 windows, the last of 1, of three epochs: put on the stream one after the other, and then compared with
// load_batch().
void compare_windows(const Dataset& data, WindowReaders readers) {
  constexpr int64_t kSeven = 7, kEpochs = 3;
  const bool shared = readers.seeds.empty();
  const int64_t rows = shared ? 1 : kMembers;
  const auto stream = emulated().open_stream();
  DeviceSamples samples(data, emulated(), *stream, readers);
  CHECK(samples.in_windows());
  const DeviceArray<StepPlace> place(emulated(), 1);
  const Samples layout(DType::i32);
  const Normaliser normaliser(data);
  std::vector<std::unique_ptr<Batch>> host, device;
  std::vector<int32_t> order;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch)
    for (int64_t first = 0; first < data.count; first += kSeven) {
      const int64_t count = std::min(kSeven, data.count - first);
      host.push_back(std::make_unique<Batch>(layout, DType::f32, rows, count, nullptr));
      device.push_back(std::make_unique<Batch>(layout, DType::f32, rows, count, &emulated()));
      for (int64_t m = 0; m < rows; ++m) {
        if (!shared) shuffle(kSeeds[m], static_cast<uint32_t>(epoch), data.count, order);
        load_batch(host.back()->program, data, normaliser, shared ? nullptr : order.data(), first, m);
      }
      StepTask task{};
      task.code = StepCode::set_place;
      task.members = rows;
      task.place = place.data();
      task.next_place = {epoch, 0, samples.place(epoch, first, count), 0, 0, true};
      stream->step(task);
      samples.load(*stream, device.back()->program, task);
    }
  stream->wait();
  for (size_t i = 0; i < host.size(); ++i) {
    CHECK(bytes_of(host[i]->x) == bytes_of(device[i]->x));
    CHECK(bytes_of(host[i]->y) == bytes_of(device[i]->y));
  }
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

// What the device has not read yet must not be written over, however late it comes to it.
TEST(cuda_tokens_of_files_are_brought_in_pieces) {
  const TokensOnDisk tokens;
  setenv("PTMZ_CUDA_TOKEN_BYTES", "0", 1);
  for (const bool lazy : {false, true}) {
    cuda_on_host::set_lazy(lazy);
    for (const bool shared : {false, true})
      for (const int64_t piece_bytes : {1, 1000, 1 << 20}) {
        WindowReaders readers;
        readers.batch = 7;
        readers.epochs = 3;
        readers.piece_bytes = piece_bytes;
        if (!shared) readers.seeds = {kSeeds, kSeeds + kMembers};
        compare_windows(tokens.data, readers);
      }
  }
  cuda_on_host::set_lazy(false);
  unsetenv("PTMZ_CUDA_TOKEN_BYTES");
}

TEST(cuda_tokens_of_small_files_lie_on_the_device) {
  const TokensOnDisk tokens;
  const auto stream = emulated().open_stream();
  DeviceSamples samples(tokens.data, emulated(), *stream);
  CHECK(!samples.in_windows());
  CHECK(samples.place(3, 14, 7) == 14);
}

TEST(cuda_tokens_of_files_that_cannot_be_read_are_typed) {
  const TokensOnDisk tokens;
  const auto stream = emulated().open_stream();
  WindowReaders readers;
  readers.piece_bytes = 1;
  tokens.write(100);  // of 155
  CHECK(check::code_of([&] { DeviceSamples(tokens.data, emulated(), *stream); }) == "IO_ERROR");
  setenv("PTMZ_CUDA_TOKEN_BYTES", "0", 1);
  {
    DeviceSamples samples(tokens.data, emulated(), *stream, readers);
    CHECK(samples.place(0, 0, 7) == 0);
    CHECK(check::code_of([&] { samples.place(0, 42, 7); }) == "IO_ERROR");
    tokens.write(155);
    CHECK(samples.place(0, 42, 7) == 0);
    cuda_on_host::fail_after(1);
    CHECK(check::code_of([&] { DeviceSamples(tokens.data, emulated(), *stream, readers).place(0, 0, 7); }) != "none");
    cuda_on_host::fail_after(0);
  }
  unsetenv("PTMZ_CUDA_TOKEN_BYTES");
}
