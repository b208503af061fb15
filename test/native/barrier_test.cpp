// A missing barrier is found: kernels compiled from their source with one __syncthreads() after the other taken out
// give wrong results on the emulated device in some order of its threads.
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "backend/cuda/host/cuda_on_host.h"
#include "check.h"
#include "solvers/dataset.h"

namespace {

std::set<int> barriers;  // the lines of those that were met
int removed = 0;         // the line of the one that is not there

void barrier(int line) {
  barriers.insert(line);
  if (line != removed) __syncthreads();
}

}  // namespace

// The kernels' own source, in a namespace of its own.
#define cuda mutated
#define __syncthreads() barrier(__LINE__)
#include "backend/cuda/kernels/fold.h"
#include "backend/cuda/kernels/images.cu"
#include "backend/cuda/kernels/samples.cu"
#undef __syncthreads
#undef cuda

namespace {

// Kernels work on memory of the host here.
struct Stream {
  cudaStream_t stream;
  Stream() {
    cudaStreamCreateWithFlags(&stream, 1);
    cuda_on_host::allow_host_memory(true);
  }
  ~Stream() {
    cuda_on_host::allow_host_memory(false);
    cudaStreamDestroy(stream);
  }
};

// Each thread's number is its index plus a constant; every group of 16 lanes adds its own, twice with the same cells.
bool folds_are_right() {
  using ptmz::mutated::Add;
  constexpr int kThreads = 64, kLanes = 16;
  std::vector<double> first(kThreads), second(kThreads);
  const Stream s;
  cuda_on_host::launch(1, kThreads, kThreads * sizeof(double), s.stream, [&] {
    double* const cells = static_cast<double*>(cuda_on_host::dynamic_shared());
    const int thread = static_cast<int>(threadIdx.x), lane = thread % kLanes, begin = thread - lane;
    first[thread] = ptmz::mutated::fold_lanes<Add>(cells, thread + 1.0, begin, lane, kLanes, 1);
    second[thread] = ptmz::mutated::fold_lanes<Add>(cells, thread + 1000.0, begin, lane, kLanes, 1);
  });
  for (int thread = 0; thread < kThreads; ++thread) {
    const int begin = thread / kLanes * kLanes;
    const double sum = kLanes * begin + kLanes * (kLanes - 1) / 2.0;
    if (first[thread] != sum + kLanes || second[thread] != sum + kLanes * 1000.0) return false;
  }
  return true;
}

// The order of an epoch, in rounds of 16 swaps, against the CPU's.
bool orders_are_right() {
  using namespace ptmz;
  constexpr int64_t kCount = 50;
  // Shared memory begins as -1, so that a target which was not drawn yet is the place before the first.
  std::vector<int32_t> expected, order(kCount + 1);
  const uint64_t seed = 5;
  shuffle(seed, 3, kCount, expected);
  StepTask task{};
  task.members = 1;
  task.sample_count = kCount;
  task.order = order.data() + 1;
  task.seeds = &seed;
  task.next_place.epoch = 3;
  const Stream s;
  void* arguments[] = {&task};
  cudaLaunchKernel(mutated::sample_kernel(StepCode::shuffle), 1, 16, arguments, 16 * sizeof(int32_t), s.stream);
  return std::equal(expected.begin(), expected.end(), order.begin() + 1);
}

// Every operation on colours, by 16 threads, against one thread of the CPU.
bool colours_are_right() {
  using namespace ptmz;
  constexpr int kHeight = 5, kWidth = 7, kImages = 30, kSize = 3 * kHeight * kWidth;
  std::vector<uint8_t> stored(kImages * kSize);
  for (size_t i = 0; i < stored.size(); ++i) stored[i] = static_cast<uint8_t>(i * 37 % 251);
  std::vector<uint8_t> expected = stored, coloured(2 * stored.size());
  const uint64_t seed = 5;
  StepPlace place{3, 0, 0, 0, 0, true};
  StepTask task{};
  task.ops.jitter = {{{0, 3}, {0, 3}, {0, 3}}, {-0.5, 0.5}};
  task.ops.rand_augment = {3, 30, 31};
  task.members = 1;
  task.batch = kImages;
  task.channels = 3;
  task.plane = kHeight * kWidth;
  task.augment.height = kHeight;
  task.augment.width = kWidth;
  task.samples = stored.data();
  task.coloured = coloured.data();
  task.seeds = &seed;
  task.place = &place;
  const std::vector<double> fill;
  SampleOps ops(task.ops, fill, seed, 3);
  for (int i = 0; i < kImages; ++i) ops.recolour({expected.data() + i * kSize, 3, kHeight, kWidth}, i);
  const Stream s;
  void* arguments[] = {&task};
  cudaLaunchKernel(mutated::image_kernel(StepCode::recolour, DType::f32), kImages, 16, arguments,
                   static_cast<size_t>(mutated::recolour_bytes(3)), s.stream);
  bool right = true;
  for (int i = 0; i < kImages; ++i)
    right = right && std::equal(expected.begin() + i * kSize, expected.begin() + (i + 1) * kSize,
                                coloured.begin() + 2 * i * kSize);
  return right;
}

bool in_all_orders(const std::function<bool()>& right) {
  using cuda_on_host::Order;
  bool all = true;
  for (const Order order : {Order::ascending, Order::descending, Order::shuffled}) {
    cuda_on_host::set_order(order);
    all = right() && all;
  }
  cuda_on_host::set_order(Order::ascending);
  return all;
}

// How many barriers there are; each of them must be missed.
size_t needed_barriers(const std::function<bool()>& right) {
  barriers.clear();
  CHECK(in_all_orders(right));
  const std::set<int> all = barriers;
  for (const int line : all) {
    removed = line;
    CHECK(!in_all_orders(right));
  }
  removed = 0;
  CHECK(in_all_orders(right));
  return all.size();
}

}  // namespace

TEST(cuda_a_missing_barrier_is_found_in_folds) { CHECK(needed_barriers(folds_are_right) == 3); }

TEST(cuda_a_missing_barrier_is_found_in_the_order_of_an_epoch) { CHECK(needed_barriers(orders_are_right) == 2); }

TEST(cuda_a_missing_barrier_is_found_in_operations_on_images) { CHECK(needed_barriers(colours_are_right) == 1); }
