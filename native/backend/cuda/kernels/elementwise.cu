// Elementwise kernels: map, copy_index, iota and random, over the elements of the output.
#include "backend/cuda/kernels/evaluate.h"
#include "backend/cuda/kernels/table.h"
#include "backend/shared/philox.h"

namespace ptmz::cuda {
namespace {

// A block takes W * blockDim.x elements that follow each other; neighbouring threads take neighbouring ones.
template <typename T, typename I, int W>
__global__ void map(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(T, registers);
  Evaluator<T, I, W> evaluator(task, registers);
  const I count = static_cast<I>(task.count);
  const I first = static_cast<I>(blockIdx.x) * (W * blockDim.x) + threadIdx.x;
  int64_t out[W];
  PTMZ_UNROLL
  for (int w = 0; w < W; ++w) {
    const I index = first + w * blockDim.x;
    Coordinates<I> c;
    c.locate(task, index < count ? index : count - 1, 0, task.rank);
    evaluator.load(w, c);
    out[w] = index < count ? c.offset(task, task.operands[0]) : -1;
  }
  evaluator.run(task.instr_count);
  PTMZ_UNROLL
  for (int w = 0; w < W; ++w)
    if (out[w] >= 0) base_of<T>(task, 0)[out[w]] = evaluator.at(task.result_register, w);
}

template <typename I>
__global__ void copy_index(PTMZ_TASK) {
  const I index = static_cast<I>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= static_cast<I>(task.count)) return;
  Coordinates<I> c;
  c.locate(task, index, 0, task.rank);
  base_of<int32_t>(task, 0)[c.offset(task, task.operands[0])] =
      base_of<const int32_t>(task, 1)[c.offset(task, task.operands[1])];
}

// ints: axis.
template <typename T>
__global__ void iota(PTMZ_TASK) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= task.count) return;
  int64_t inner = 1;
  for (int d = static_cast<int>(task.ints[0]) + 1; d < task.rank; ++d) inner *= task.shape[d];
  base_of<T>(task, 0)[index] = static_cast<T>(index / inner % task.shape[task.ints[0]]);
}

// ints: distribution, stream. Operand 1: the key (seed low, seed high, epoch, step).
template <typename T>
__global__ void random(PTMZ_TASK) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= task.count) return;
  const int32_t* words = base_of<const int32_t>(task, 1);
  const int64_t step = task.operands[1].strides[0];
  const auto word = [&](int i) { return static_cast<uint32_t>(words[i * step]); };
  const RandomKey key{word(0), word(1), static_cast<uint32_t>(Purpose::graph), static_cast<uint32_t>(task.ints[1]),
                      word(2), word(3)};
  const uint64_t counter = static_cast<uint64_t>(index);
  double value;
  switch (static_cast<Distribution>(task.ints[0])) {
    case Distribution::uniform:
      value = random_uniform(key, counter);
      break;
    case Distribution::normal:
      value = random_normal(key, counter);
      break;
    default:
      value = random_rademacher(key, counter);
  }
  base_of<T>(task, 0)[index] = static_cast<T>(value);
}

template <typename T>
Kernel map_of(bool wide_index, bool several) {
  if (wide_index) return several ? map<T, int64_t, 4> : map<T, int64_t, 1>;
  return several ? map<T, uint32_t, 4> : map<T, uint32_t, 1>;
}

}  // namespace

Kernel map_kernel(DType real, bool wide_index, bool several) {
  return real == DType::f32 ? map_of<float>(wide_index, several) : map_of<double>(wide_index, several);
}
Kernel copy_index_kernel(bool wide_index) { return wide_index ? copy_index<int64_t> : copy_index<uint32_t>; }
Kernel iota_kernel(DType real) { return real == DType::f32 ? iota<float> : iota<double>; }
Kernel random_kernel(DType real) { return real == DType::f32 ? random<float> : random<double>; }

}  // namespace ptmz::cuda
