// Softmax cross-entropy of rows of logits, and its gradient; a group of lanes shares a row.
//
// With lse = log sum_c exp(z_c) and label smoothing s, the loss of a row with target t is
//   (1 - s) (lse - z_t) + s mean_c (lse - z_c), so d loss / d z_c = softmax_c - (1 - s) [c = t] - s / C.
#include "backend/cuda/kernels/fold.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {
namespace {

// Operands: out, logits (N,C) strided, target (N) [, u (N)]. ints: has_ignore, ignore; reals: smoothing.
template <typename T>
struct Row {
  const Task& task;
  const Group group;
  double* const cells;
  int64_t row, columns, target;  // target: -1 where the row does not count
  const T* logits;

  __device__ Row(const Task& task, double* cells) : task(task), group(task), cells(cells) {
    row = static_cast<int64_t>(blockIdx.x) * group.outputs + group.output;
    columns = task.shape[1];
    target = -1;
    if (row >= task.shape[0]) return;
    logits = base_of<const T>(task, 1) + row * task.operands[1].strides[0];
    const int64_t t = base_of<const int32_t>(task, 2)[row * task.operands[2].strides[0]];
    if (task.ints[0] != 0 && t == task.ints[1]) return;
    if (t >= 0 && t < columns) {
      target = t;
    } else if (group.lane == 0) {
      report_fault(task, t, columns);
    }
  }
  __device__ bool exists() const { return row < task.shape[0]; }
  __device__ T at(int64_t c) const { return logits[c * task.operands[1].strides[1]]; }

  // These are called by all threads of a block, also by those whose row does not count.
  __device__ T top() const {
    double best = Larger::start();
    if (target >= 0)
      for (int64_t c = group.lane; c < columns; c += group.lanes) best = Larger::join(best, static_cast<double>(at(c)));
    return static_cast<T>(group.fold<Larger>(cells, best));
  }
  template <typename F>
  __device__ double sum(F term) const {
    Total<T> total;
    if (target >= 0)
      for (int64_t c = group.lane; c < columns; c += group.lanes) total.add(term(at(c)));
    return group.fold<Add>(cells, total.value());
  }
};

template <typename T>
__global__ void softmax_cross_entropy(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(double, cells);
  const Row<T> row(task, cells);
  const T top = row.top();
  const double sum = row.sum([&](T z) { return f_exp(z - top); }), s = task.reals[0];
  const double gaps = s != 0 ? row.sum([&](T z) { return top - z; }) : 0;
  if (!row.exists() || row.group.lane != 0) return;
  T* out = base_of<T>(task, 0) + row.row;
  if (row.target < 0) {
    *out = 0;
    return;
  }
  const double gap = static_cast<double>(top) - static_cast<double>(row.at(row.target));
  *out = static_cast<T>(log(sum) + (1 - s) * gap + s * gaps / static_cast<double>(row.columns));
}

template <typename T>
__global__ void softmax_cross_entropy_backward(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(double, cells);
  const Row<T> row(task, cells);
  const T top = row.top();
  const double sum = row.sum([&](T z) { return f_exp(z - top); });
  if (!row.exists()) return;
  const double s = task.reals[0], each = s / static_cast<double>(row.columns);
  const double weight =
      row.target < 0 ? 0 : static_cast<double>(value_at<T>(task, 3, row.row * task.operands[3].strides[0]));
  const T scale = static_cast<T>(weight / sum), less = static_cast<T>(weight * each);
  T* out = base_of<T>(task, 0) + row.row * row.columns;
  for (int64_t c = row.group.lane; c < row.columns; c += row.group.lanes) {
    if (row.target < 0) {
      out[c] = 0;
    } else if (c == row.target) {
      out[c] = static_cast<T>(weight * (static_cast<double>(f_exp(row.at(c) - top)) / sum - (1 - s) - each));
    } else {
      out[c] = f_exp(row.at(c) - top) * scale - less;
    }
  }
}

template <typename T>
Kernel kernel_of(LaunchCode code) {
  return code == LaunchCode::softmax_cross_entropy ? softmax_cross_entropy<T> : softmax_cross_entropy_backward<T>;
}

}  // namespace

Kernel cross_entropy_kernel(LaunchCode code, DType real) {
  return real == DType::f32 ? kernel_of<float>(code) : kernel_of<double>(code);
}

}  // namespace ptmz::cuda
