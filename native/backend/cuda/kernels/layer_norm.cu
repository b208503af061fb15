// Layer norm of rows: the value, the gradient of its input, and the sums over rows that are those of weight and bias.
#include "backend/cuda/kernels/fold.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {
namespace {

// (x - mean) - shift is x less the mean of its row, also where that is large: mean is rounded to T, shift is what the
// rounding left. deviation: 1 / sqrt(var + eps).
template <typename T>
struct Centre {
  T mean, shift, deviation;
  __device__ T operator()(T x) const { return (x - mean) - shift; }
};

// A row of D and the threads that work on it. All threads of a block call these, also those without a row.
template <typename T>
struct Row {
  const Task& task;
  const Group group;
  double* const cells;
  int64_t row, columns;

  __device__ Row(const Task& task, double* cells) : task(task), group(task), cells(cells) {
    row = static_cast<int64_t>(blockIdx.x) * group.outputs + group.output;
    columns = task.shape[1];
  }
  __device__ bool exists() const { return row < task.shape[0]; }
  __device__ const T* of(int operand) const { return base_of<const T>(task, operand) + row * columns; }
  __device__ T weight(int operand, int64_t c) const {
    return value_at<T>(task, operand, c * task.operands[operand].strides[1]);
  }
  template <typename F>
  __device__ double sum(F term) const {
    Total<T> total;
    if (exists())
      for (int64_t c = group.lane; c < columns; c += group.lanes) total.add(term(c));
    return group.fold<Add>(cells, total.value());
  }
  __device__ Centre<T> centre(int operand) const {
    const T* x = of(operand);
    const double count = static_cast<double>(columns);
    const T mean = static_cast<T>(sum([&](int64_t c) { return x[c]; }) / count);
    const double first = sum([&](int64_t c) { return x[c] - mean; });
    const double second = sum([&](int64_t c) { return (x[c] - mean) * (x[c] - mean); });
    const double shift = first / count;
    return {mean, static_cast<T>(shift), static_cast<T>(1 / sqrt((second - shift * first) / count + task.reals[0]))};
  }
};

// Operands: y (N,D), x (N,D), weight (D), bias (D).
template <typename T>
__global__ void layer_norm(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(double, cells);
  const Row<T> row(task, cells);
  const Centre<T> centre = row.centre(1);
  if (!row.exists()) return;
  const T* x = row.of(1);
  T* out = base_of<T>(task, 0) + row.row * row.columns;
  for (int64_t c = row.group.lane; c < row.columns; c += row.group.lanes)
    out[c] = centre(x[c]) * centre.deviation * row.weight(2, c) + row.weight(3, c);
}

// Operands: dx, g, x (N,D), weight (D).
template <typename T>
__global__ void layer_norm_input(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(double, cells);
  const Row<T> row(task, cells);
  const Centre<T> centre = row.centre(2);
  const T *g = row.of(1), *x = row.of(2);
  const double count = static_cast<double>(row.columns), deviation = static_cast<double>(centre.deviation);
  const double first = row.sum([&](int64_t c) { return g[c] * row.weight(3, c); });
  const double second = row.sum([&](int64_t c) { return g[c] * row.weight(3, c) * centre(x[c]); });
  if (!row.exists()) return;
  const T mean = static_cast<T>(first / count), slope = static_cast<T>(second / count * deviation * deviation);
  T* out = base_of<T>(task, 0) + row.row * row.columns;
  for (int64_t c = row.group.lane; c < row.columns; c += row.group.lanes)
    out[c] = ((g[c] * row.weight(3, c) - mean) - centre(x[c]) * slope) * centre.deviation;
}

// Scratch of the sums: a Centre for each row, then pairs of sums, split by split.
struct Pair {
  double products, plain;
};
template <typename T>
__device__ Centre<T>* centres_of(const Task& task) {
  return reinterpret_cast<Centre<T>*>(task.partials + blockIdx.y * task.partials_member_bytes);
}
template <typename T>
__device__ Pair* pairs_of(const Task& task) {
  return reinterpret_cast<Pair*>(task.partials + blockIdx.y * task.partials_member_bytes +
                                 layer_norm_centres_bytes(task.shape[0], sizeof(T)));
}

// Operands: sums (2,D), g, x (N,D).
template <typename T>
__global__ void layer_norm_centres(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(double, cells);
  const Row<T> row(task, cells);
  const Centre<T> centre = row.centre(2);
  if (row.exists() && row.group.lane == 0) centres_of<T>(task)[row.row] = centre;
}

// One thread per column and split of the rows.
template <typename T>
__global__ void layer_norm_sums(PTMZ_TASK) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, columns = task.shape[1];
  if (c >= columns) return;
  const int64_t begin = blockIdx.z * task.split_size, rest = task.shape[0] - begin;
  const int64_t end = begin + (rest < task.split_size ? rest : task.split_size);
  const T *g = base_of<const T>(task, 1), *x = base_of<const T>(task, 2);
  const Centre<T>* centres = centres_of<T>(task);
  Total<T> products, plain;
  for (int64_t k = begin; k < end; ++k) {
    const T given = g[k * columns + c];
    products.add(given * (centres[k](x[k * columns + c]) * centres[k].deviation));
    plain.add(given);
  }
  pairs_of<T>(task)[blockIdx.z * columns + c] = {products.value(), plain.value()};
}

template <typename T>
__global__ void join_layer_norm_sums(PTMZ_TASK) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, columns = task.shape[1];
  if (c >= columns) return;
  const Pair* pairs = pairs_of<T>(task);
  double products = 0, plain = 0;
  for (int split = 0; split < task.splits; ++split) {
    products += pairs[split * columns + c].products;
    plain += pairs[split * columns + c].plain;
  }
  T* out = base_of<T>(task, 0);
  out[c] = static_cast<T>(products);
  out[columns + c] = static_cast<T>(plain);
}

template <typename T>
Kernel rows_of(LaunchCode code) {
  if (code == LaunchCode::layer_norm) return layer_norm<T>;
  return code == LaunchCode::layer_norm_backward_input ? layer_norm_input<T> : layer_norm_centres<T>;
}

}  // namespace

Kernel layer_norm_kernel(LaunchCode code, DType real) {
  return real == DType::f32 ? rows_of<float>(code) : rows_of<double>(code);
}
Kernel layer_norm_sums_kernel(DType real) {
  return real == DType::f32 ? layer_norm_sums<float> : layer_norm_sums<double>;
}
Kernel join_layer_norm_sums_kernel(DType real) {
  return real == DType::f32 ? join_layer_norm_sums<float> : join_layer_norm_sums<double>;
}

}  // namespace ptmz::cuda
