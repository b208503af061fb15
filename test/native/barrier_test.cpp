// A missing barrier is found: the folds of the kernels, compiled from their source with one __syncthreads() after the
// other taken out, give wrong results on the emulated device in some order of its threads.
#include <cmath>
#include <set>
#include <vector>

#include "backend/cuda/host/cuda_on_host.h"
#include "check.h"

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
#undef __syncthreads
#undef cuda

namespace {

using Fold = ptmz::mutated::Add;

constexpr int kThreads = 64, kLanes = 16;

// Each thread's number is its index plus a constant; every group of 16 lanes adds its own, twice with the same cells.
bool folds_are_right() {
  std::vector<double> first(kThreads), second(kThreads);
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, 1);
  cuda_on_host::launch(1, kThreads, kThreads * sizeof(double), stream, [&] {
    double* const cells = static_cast<double*>(cuda_on_host::dynamic_shared());
    const int thread = static_cast<int>(threadIdx.x), lane = thread % kLanes, begin = thread - lane;
    first[thread] = ptmz::mutated::fold_lanes<Fold>(cells, thread + 1.0, begin, lane, kLanes, 1);
    second[thread] = ptmz::mutated::fold_lanes<Fold>(cells, thread + 1000.0, begin, lane, kLanes, 1);
  });
  cudaStreamDestroy(stream);
  for (int thread = 0; thread < kThreads; ++thread) {
    const int begin = thread / kLanes * kLanes;
    const double sum = kLanes * begin + kLanes * (kLanes - 1) / 2.0;
    if (first[thread] != sum + kLanes || second[thread] != sum + kLanes * 1000.0) return false;
  }
  return true;
}

bool right_in_all_orders() {
  using cuda_on_host::Order;
  bool right = true;
  for (const Order order : {Order::ascending, Order::descending, Order::shuffled}) {
    cuda_on_host::set_order(order);
    right = folds_are_right() && right;
  }
  cuda_on_host::set_order(Order::ascending);
  return right;
}

}  // namespace

TEST(cuda_a_missing_barrier_is_found) {
  CHECK(right_in_all_orders());
  const std::set<int> all = barriers;
  CHECK(all.size() == 3);
  for (const int line : all) {
    removed = line;
    CHECK(!right_in_all_orders());
  }
  removed = 0;
  CHECK(right_in_all_orders());
}
