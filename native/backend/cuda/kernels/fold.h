// Fold: sums and maxima whose order depends on shapes alone - within a thread, and over the threads of a block.
#pragma once
#include "backend/cuda/kernels/evaluate.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {

// A sum and what its rounding lost.
struct Exact {
  double sum, carry;
  __device__ static Exact start() { return {0, 0}; }
  __device__ static Exact join(const Exact& a, const Exact& b) {
    const double sum = a.sum + b.sum, added = sum - a.sum, lost = (a.sum - (sum - added)) + (b.sum - added);
    return {sum, sum - sum == 0 ? a.carry + b.carry + lost : 0};  // an infinite sum has none
  }
  __device__ double value() const { return sum + carry; }
};

// A sum of many terms: sixteen at a time in T, one after the other as a short row is added up everywhere, and these in
// double; those of double itself with what their rounding loses.
template <typename T>
struct Total {
  T part = 0;
  int pending = 0;
  Exact sum = Exact::start();

  __device__ void add(T x) {
    part += x;
    if (++pending == kShortSum) flush();
  }
  __device__ double value() { return exact().value(); }
  __device__ Exact exact() {
    flush();
    return sum;
  }

 private:
  __device__ void flush() {
    if (sizeof(T) == sizeof(double))
      sum = Exact::join(sum, {static_cast<double>(part), 0});
    else
      sum.sum += static_cast<double>(part);
    part = 0;
    pending = 0;
  }
};

struct Add {
  __device__ static double start() { return 0; }
  __device__ static double join(double a, double b) { return a + b; }
};
// A NaN wins.
struct Larger {
  __device__ static double start() { return -HUGE_VAL; }
  __device__ static double join(double a, double b) { return b > a || b != b ? b : a; }
};

// Joins the values of groups of `lanes` threads; all of a group get the result. `cells`: blockDim.x of shared memory.
// `stride`: between the threads of one group, which begins at `first`.
template <typename Op, typename V>
__device__ inline V fold_lanes(V* cells, V value, int first, int lane, int lanes, int stride) {
  cells[threadIdx.x] = value;
  for (int half = lanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (lane < half) cells[threadIdx.x] = Op::join(cells[threadIdx.x], cells[threadIdx.x + half * stride]);
  }
  __syncthreads();
  const V result = cells[first];
  __syncthreads();  // before the cells are used again
  return result;
}

// How a block's threads are grouped into outputs: `lanes` threads each, next to each other or, by column, apart.
struct Group {
  int lanes, outputs, lane, output, stride, first;

  __device__ explicit Group(const Task& task) {
    const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
    lanes = task.lanes;
    outputs = threads / lanes;
    lane = task.column ? thread / outputs : thread % lanes;
    output = task.column ? thread % outputs : thread / lanes;
    stride = task.column ? outputs : 1;
    first = thread - lane * stride;
  }
  template <typename Op, typename V>
  __device__ V fold(V* cells, V value) const {
    return fold_lanes<Op>(cells, value, first, lane, lanes, stride);
  }
};

}  // namespace ptmz::cuda
