// Reductions: reduce_sum and reduce_max with an elementwise prologue, and argmax. A group of lanes shares an output;
// where outputs are few, several blocks share one.
#include "backend/cuda/kernels/fold.h"
#include "backend/cuda/kernels/splits.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {
namespace {

constexpr int kWidth = 4;  // elements that a thread evaluates at a time

__device__ inline double final_value(double x) { return x; }
__device__ inline double final_value(const Exact& x) { return x.value(); }

// What a kernel folds: its start, how a thread adds an element and how two results join.
template <typename T>
struct Sum {
  using Value = Exact;
  using Join = Exact;
  Total<T> total;
  template <typename I>
  __device__ void add(Evaluator<T, I, kWidth>& e, const Task& task, int w) {
    total.add(e.at(task.result_register, w));
  }
  __device__ Exact value() { return total.exact(); }
};

// A sum of products over a whole tensor. Large terms cancel in <g, v>, so the products are not rounded first.
template <typename T>
struct InnerProduct {
  using Value = Exact;
  using Join = Exact;
  Exact total = Exact::start();
  template <typename I>
  __device__ void add(Evaluator<T, I, kWidth>& e, const Task& task, int w) {
    const Instr& last = task.instrs[task.instr_count - 1];
    const double a = static_cast<double>(e.at(last.a, w)), b = static_cast<double>(e.at(last.b, w)), product = a * b;
    const double lost = sizeof(T) == 8 && product - product == 0 ? fma(a, b, -product) : 0;
    total = Exact::join(total, {product, lost});
  }
  __device__ Exact value() const { return total; }
};

template <typename T>
struct Max {
  using Value = double;
  using Join = Larger;
  double best = Larger::start();
  template <typename I>
  __device__ void add(Evaluator<T, I, kWidth>& e, const Task& task, int w) {
    best = Larger::join(best, static_cast<double>(e.at(task.result_register, w)));
  }
  __device__ double value() { return best; }
};

// Block x: group of outputs, z: split. `instrs`: how many of the task's to run before an element is added.
template <typename T, typename I, typename Fold>
__device__ void reduce(const Task& task, int instrs) {
  PTMZ_DYNAMIC_SHARED(T, shared);
  const Group group(task);
  using Value = typename Fold::Value;
  Value* cells = reinterpret_cast<Value*>(shared);
  Evaluator<T, I, kWidth> evaluator(task, reinterpret_cast<T*>(cells + blockDim.x));
  const I kept = static_cast<I>(task.kept), output = static_cast<I>(blockIdx.x) * group.outputs + group.output;
  const I begin = static_cast<I>(blockIdx.z * task.split_size);
  const I end = static_cast<I>(task.split_size) < static_cast<I>(task.reduced) - begin
                    ? begin + static_cast<I>(task.split_size)
                    : static_cast<I>(task.reduced);
  Fold fold;
  if (output < kept) {
    Coordinates<I> c;
    c.locate(task, output, 0, task.kept_rank);
    for (I r = begin + group.lane; r < end; r += kWidth * group.lanes) {
      PTMZ_UNROLL
      for (int w = 0; w < kWidth; ++w) {
        const I element = r + w * group.lanes;
        c.locate(task, element < end ? element : r, task.kept_rank, task.rank);
        evaluator.load(w, c);
      }
      evaluator.run(instrs);
      PTMZ_UNROLL
      for (int w = 0; w < kWidth; ++w)
        if (r + w * group.lanes < end) fold.add(evaluator, task, w);
    }
  }
  using Join = typename Fold::Join;
  Value value = group.fold<Join>(cells, fold.value());
  if (task.splits > 1) {
    Value* partials = partials_of<Value>(task) + output;
    if (output < kept && group.lane == 0) partials[static_cast<int64_t>(blockIdx.z) * task.kept] = value;
    if (!is_last_split(task, blockIdx.x)) return;
    value = Join::start();
    if (output < kept)
      for (int split = group.lane; split < task.splits; split += group.lanes)
        value = Join::join(value, partials[split * task.kept]);
    value = group.fold<Join>(cells, value);
  }
  if (output < kept && group.lane == 0) base_of<T>(task, 0)[output] = static_cast<T>(final_value(value));
}

static_assert(sizeof(Exact) <= kReductionPartialBytes);

template <typename T, typename I>
__global__ void reduce_sum(PTMZ_TASK) {
  reduce<T, I, Sum<T>>(task, task.instr_count);
}
template <typename T, typename I>
__global__ void inner_product(PTMZ_TASK) {
  reduce<T, I, InnerProduct<T>>(task, task.instr_count - 1);
}
template <typename T, typename I>
__global__ void reduce_max(PTMZ_TASK) {
  reduce<T, I, Max<T>>(task, task.instr_count);
}

// Where a maximum is: the first of equal ones, and the first NaN before all numbers.
struct Place {
  double value;
  int64_t index;  // -1: none yet
};
struct First {
  __device__ static Place join(Place a, Place b) {
    if (b.index < 0) return a;
    if (a.index < 0) return b;
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    const bool equal = (a_nan && b_nan) || a.value == b.value;
    if (equal) return a.index < b.index ? a : b;
    return a_nan || (!b_nan && a.value > b.value) ? a : b;
  }
};

template <typename T, typename I>
__global__ void argmax(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(Place, cells);
  const Group group(task);
  const I output = static_cast<I>(blockIdx.x) * group.outputs + group.output;
  const bool mine = output < static_cast<I>(task.kept);
  Place best{0, -1};
  if (mine) {
    Coordinates<I> c;
    c.locate(task, output, 0, task.kept_rank);
    for (I r = group.lane; r < static_cast<I>(task.reduced); r += group.lanes) {
      c.locate(task, r, task.kept_rank, task.rank);
      const T value = base_of<const T>(task, 1)[c.offset(task, task.operands[1])];
      best = First::join(best, {static_cast<double>(value), static_cast<int64_t>(r)});
    }
  }
  best = group.fold<First>(cells, best);
  if (mine && group.lane == 0) base_of<int32_t>(task, 0)[output] = static_cast<int32_t>(best.index);
}

template <typename T, typename I>
Kernel reduction_of(Reduction kind) {
  switch (kind) {
    case Reduction::sum:
      return reduce_sum<T, I>;
    case Reduction::inner_product:
      return inner_product<T, I>;
    case Reduction::max:
      return reduce_max<T, I>;
    default:
      return argmax<T, I>;
  }
}
template <typename T>
Kernel reduction_of(Reduction kind, bool wide_index) {
  return wide_index ? reduction_of<T, int64_t>(kind) : reduction_of<T, uint32_t>(kind);
}
}  // namespace

Kernel reduction_kernel(Reduction kind, DType real, bool wide_index) {
  return real == DType::f32 ? reduction_of<float>(kind, wide_index) : reduction_of<double>(kind, wide_index);
}
int64_t reduction_thread_bytes(Reduction kind, int registers, int64_t element_bytes) {
  if (kind == Reduction::argmax) return sizeof(Place);
  return kReductionPartialBytes + int64_t{kWidth} * registers * element_bytes;
}

}  // namespace ptmz::cuda
