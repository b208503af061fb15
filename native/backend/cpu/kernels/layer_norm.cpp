// Layer norm of rows: the value, the gradient of its input, and the sums over rows that are those of weight and bias.
//
// A row's statistics are found anew by each of the three: the row is in the cache, and nothing has to be kept.
#include <math.h>

#include "backend/cpu/kernels/vectors.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// (x - mean) - shift is x less the mean of its row, also where that is large: mean is rounded to T, shift is what the
// rounding left.
template <typename T>
struct Centre {
  T mean, shift, deviation;  // deviation: 1 / sqrt(var + eps)

  Centre(const T* x, int64_t n, double eps) {
    TwoSums<T> sum;
    sum.add(
        n, [&](int64_t i, Vector<T>& a, Vector<T>&) { a += load(x + i); }, [&](int64_t i, T& a, T&) { a = x[i]; });
    const double count = static_cast<double>(n);
    mean = static_cast<T>(sum.first / count);
    const auto terms = [&](auto value, auto& a, auto& b) {
      value -= mean;
      a += value;
      b += value * value;
    };
    TwoSums<T> sums;
    sums.add(
        n, [&](int64_t i, Vector<T>& a, Vector<T>& b) { terms(load(x + i), a, b); },
        [&](int64_t i, T& a, T& b) { terms(x[i], a, b); });
    const double rest = sums.first / count;
    shift = static_cast<T>(rest);
    deviation = static_cast<T>(1 / ::sqrt((sums.second - rest * sums.first) / count + eps));
  }
  template <typename V>
  PTMZ_INLINE V operator()(const V& x) const {
    return (x - mean) - shift;
  }
};

// A (D) operand: the row itself, or copied to `room`, or null where all of it is one immediate value.
template <typename T>
const T* row_of(const Call& call, int operand, T* room) {
  const Operand& o = call.launch.operands[operand];
  const int64_t columns = call.launch.shape[1], stride = o.strides[1];
  const T* data = static_cast<const T*>(call.pointers[operand]);
  if (o.buffer >= 0 && (stride == 1 || columns == 1)) return data;
  for (int64_t c = 0; c < columns; ++c) room[c] = o.buffer < 0 ? static_cast<T>(o.value) : data[c * stride];
  return room;
}

struct RowRange {
  int64_t begin, end, columns;
  explicit RowRange(const Call& call) : columns(call.launch.shape[1]) {
    const int64_t size = row_block(columns);
    begin = smaller(call.begin * size, call.launch.shape[0]);
    end = smaller(call.end * size, call.launch.shape[0]);
  }
};

// Operands: y (N,D), x (N,D), weight (D), bias (D).
template <typename T>
void layer_norm(const Call& call) {
  const RowRange range(call);
  constexpr int E = kLanes<T>;
  T* room = static_cast<T*>(call.scratch);
  const T *weight = row_of(call, 2, room), *bias = row_of(call, 3, room + range.columns);
  for (int64_t k = range.begin; k < range.end; ++k) {
    const T* x = static_cast<const T*>(call.pointers[1]) + k * range.columns;
    T* y = static_cast<T*>(call.pointers[0]) + k * range.columns;
    const Centre<T> centre(x, range.columns, call.launch.reals[0]);
    int64_t i = 0;
    for (; i + E <= range.columns; i += E)
      store<T>(y + i, centre(load(x + i)) * centre.deviation * load(weight + i) + load(bias + i));
    for (; i < range.columns; ++i) y[i] = centre(x[i]) * centre.deviation * weight[i] + bias[i];
  }
}

// Operands: dx, g, x (N,D), weight (D).
template <typename T>
void layer_norm_backward_input(const Call& call) {
  const RowRange range(call);
  constexpr int E = kLanes<T>;
  const T* weight = row_of(call, 3, static_cast<T*>(call.scratch));
  const double count = static_cast<double>(range.columns);
  for (int64_t k = range.begin; k < range.end; ++k) {
    const T* g = static_cast<const T*>(call.pointers[1]) + k * range.columns;
    const T* x = static_cast<const T*>(call.pointers[2]) + k * range.columns;
    T* out = static_cast<T*>(call.pointers[0]) + k * range.columns;
    const Centre<T> centre(x, range.columns, call.launch.reals[0]);
    const auto terms = [&](auto given, auto value, auto& first, auto& second) {
      first += given;
      second += given * centre(value);
    };
    TwoSums<T> sums;
    sums.add(
        range.columns,
        [&](int64_t i, Vector<T>& a, Vector<T>& b) { terms(load(g + i) * load(weight + i), load(x + i), a, b); },
        [&](int64_t i, T& a, T& b) { terms(g[i] * weight[i], x[i], a, b); });
    const double deviation = static_cast<double>(centre.deviation);
    const T mean = static_cast<T>(sums.first / count),
            slope = static_cast<T>(sums.second / count * deviation * deviation);
    const auto value = [&](auto given, auto at) { return ((given - mean) - centre(at) * slope) * centre.deviation; };
    int64_t i = 0;
    for (; i + E <= range.columns; i += E) store<T>(out + i, value(load(g + i) * load(weight + i), load(x + i)));
    for (; i < range.columns; ++i) out[i] = value(g[i] * weight[i], x[i]);
  }
}

// One row added to both sums.
template <typename T>
void add_row(const T* g, const T* x, int64_t columns, double eps, T* products, T* plain) {
  constexpr int E = kLanes<T>;
  const Centre<T> centre(x, columns, eps);
  int64_t i = 0;
  for (; i + E <= columns; i += E) {
    const Vector<T> given = load(g + i);
    store<T>(products + i, load(products + i) + given * (centre(load(x + i)) * centre.deviation));
    store<T>(plain + i, load(plain + i) + given);
  }
  for (; i < columns; ++i) {
    products[i] += g[i] * (centre(x[i]) * centre.deviation);
    plain[i] += g[i];
  }
}

// Operands: sums (parts,2,D), g, x (N,D). Sixteen rows are added in T, these sums in double.
template <typename T>
void layer_norm_backward_sums(const Call& call) {
  const int64_t rows = call.launch.shape[0], columns = call.launch.shape[1], parts = call.launch.ints[kPartsInt];
  const int64_t size = ceil_divide(rows, parts);
  double* total = static_cast<double*>(call.scratch);
  T* few = reinterpret_cast<T*>(total + 2 * columns);
  for (int64_t part = call.begin; part < call.end; ++part) {
    const int64_t begin = smaller(part * size, rows), end = smaller(begin + size, rows);
    for (int64_t i = 0; i < 2 * columns; ++i) total[i] = 0;
    for (int64_t first = begin; first < end; first += 16) {
      for (int64_t i = 0; i < 2 * columns; ++i) few[i] = 0;
      for (int64_t k = first; k < smaller(first + 16, end); ++k)
        add_row(static_cast<const T*>(call.pointers[1]) + k * columns,
                static_cast<const T*>(call.pointers[2]) + k * columns, columns, call.launch.reals[0], few,
                few + columns);
      for (int64_t i = 0; i < 2 * columns; ++i) total[i] += static_cast<double>(few[i]);
    }
    T* out = static_cast<T*>(call.pointers[0]) + part * 2 * columns;
    for (int64_t i = 0; i < 2 * columns; ++i) out[i] = static_cast<T>(total[i]);
  }
}

template <typename T>
void enter_all(KernelTable& table) {
  enter<T>(table, LaunchCode::layer_norm, layer_norm<T>);
  enter<T>(table, LaunchCode::layer_norm_backward_input, layer_norm_backward_input<T>);
  enter<T>(table, LaunchCode::layer_norm_backward_sums, layer_norm_backward_sums<T>);
}

}  // namespace

void add_layer_norm(KernelTable& table) {
  enter_all<float>(table);
  enter_all<double>(table);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
