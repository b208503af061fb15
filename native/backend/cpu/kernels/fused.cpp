// Fused kernels: softmax cross-entropy of rows of logits, and its gradient.
//
// With lse = log sum_c exp(z_c) and label smoothing s, the loss of a row with target t is
//   (1 - s) (lse - z_t) + s mean_c (lse - z_c), so d loss / d z_c = softmax_c - (1 - s) [c = t] - s / C.
#include "backend/cpu/kernels/vector_math.h"
#include "backend/cpu/kernels/views.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// logits (N,C) strided, target (N)
template <typename T>
struct Rows {
  const T* logits;
  const int32_t* target;
  int64_t columns, row_stride, column_stride, target_stride;
  bool has_ignore;
  int64_t ignore;
  double smoothing;
  int64_t begin, end;
  KernelFault& fault;

  explicit Rows(const Call& call)
      : logits(static_cast<const T*>(call.pointers[1])),
        target(static_cast<const int32_t*>(call.pointers[2])),
        columns(call.launch.shape[1]),
        row_stride(call.launch.operands[1].strides[0]),
        column_stride(call.launch.operands[1].strides[1]),
        target_stride(call.launch.operands[2].strides[0]),
        has_ignore(call.launch.ints[0] != 0),
        ignore(call.launch.ints[1]),
        smoothing(call.launch.reals[0]),
        begin(smaller(call.begin * row_block(columns), call.launch.shape[0])),
        end(smaller(call.end * row_block(columns), call.launch.shape[0])),
        fault(call.fault) {}

  // The target of a row, -1 where the row does not count.
  int64_t target_of(int64_t row) const {
    const int64_t t = target[row * target_stride];
    if (has_ignore && t == ignore) return -1;
    if (t >= 0 && t < columns) return t;
    report_fault(fault, t, columns);
    return -1;
  }
  const T* row(int64_t i) const { return logits + i * row_stride; }

  // n logits of a row from column c on, contiguous: where they lie, or copied to `buffer`.
  const T* chunk(int64_t i, int64_t c, int64_t n, T* buffer) const {
    const T* x = row(i) + c * column_stride;
    if (column_stride == 1) return x;
    load_run(buffer, x, column_stride, n);
    return buffer;
  }
  T row_max(int64_t i) const {
    T buffer[kBlock], best = -static_cast<T>(HUGE_VAL);
    for (int64_t c = 0; c < columns; c += kBlock) {
      const int64_t n = smaller(kBlock, columns - c);
      best = max_block(chunk(i, c, n, buffer), n, best);
    }
    return best;
  }
  // Sums exp(z - top) over a row and, if `out` is given, keeps the terms there.
  double row_sum(int64_t i, T top, T* out) const {
    T buffer[kBlock], terms[kBlock];
    Total<T> total;
    for (int64_t c = 0; c < columns; c += kBlock) {
      const int64_t n = smaller(kBlock, columns - c);
      const T* z = chunk(i, c, n, buffer);
      T* to = out ? out + c : terms;
      PTMZ_VECTORISE
      for (int64_t j = 0; j < n; ++j) to[j] = v_exp(z[j] - top);
      total.add(sum_block(to, n));
    }
    return total.sum + total.carry;
  }
  // The mean of top - z over a row.
  double row_mean_gap(int64_t i, T top) const {
    T buffer[kBlock], gaps[kBlock];
    Total<T> total;
    for (int64_t c = 0; c < columns; c += kBlock) {
      const int64_t n = smaller(kBlock, columns - c);
      const T* z = chunk(i, c, n, buffer);
      for (int64_t j = 0; j < n; ++j) gaps[j] = top - z[j];
      total.add(sum_block(gaps, n));
    }
    return (total.sum + total.carry) / static_cast<double>(columns);
  }
};

template <typename T>
void softmax_cross_entropy(const Call& call) {
  const Rows<T> rows(call);
  T* out = static_cast<T*>(call.pointers[0]);
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    const int64_t t = rows.target_of(i);
    if (t < 0) {
      out[i] = 0;
      continue;
    }
    const T top = rows.row_max(i);
    const double log_sum = ::log(rows.row_sum(i, top, nullptr)), s = rows.smoothing;
    double gap = static_cast<double>(top) - static_cast<double>(rows.row(i)[t * rows.column_stride]);
    if (s != 0) gap = (1 - s) * gap + s * rows.row_mean_gap(i, top);
    out[i] = static_cast<T>(log_sum + gap);
  }
}

template <typename T>
void softmax_cross_entropy_backward(const Call& call) {
  const Rows<T> rows(call);
  const Operand& u_operand = call.launch.operands[3];
  const T* u = static_cast<const T*>(call.pointers[3]);
  const int64_t columns = rows.columns;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    T* out = static_cast<T*>(call.pointers[0]) + i * columns;
    const int64_t t = rows.target_of(i);
    if (t < 0) {
      fill_block(out, T(0), columns);
      continue;
    }
    const double weight = u_operand.buffer < 0 ? u_operand.value : static_cast<double>(u[i * u_operand.strides[0]]);
    const T top = rows.row_max(i);
    const double sum = rows.row_sum(i, top, out), s = rows.smoothing, each = s / static_cast<double>(columns);
    const double at_target = static_cast<double>(out[t]) / sum - (1 - s) - each;
    const T scale = static_cast<T>(weight / sum), less = static_cast<T>(weight * each);
    for (int64_t c = 0; c < columns; ++c) out[c] = out[c] * scale - less;
    out[t] = static_cast<T>(weight * at_target);
  }
}

template <typename T>
void enter_all(KernelTable& table) {
  enter<T>(table, LaunchCode::softmax_cross_entropy, softmax_cross_entropy<T>);
  enter<T>(table, LaunchCode::softmax_cross_entropy_backward, softmax_cross_entropy_backward<T>);
}

}  // namespace

void add_fused(KernelTable& table) {
  enter_all<float>(table);
  enter_all<double>(table);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
