// Attention: softmax(scale q k^T) v of every head, and its gradient. A block of queries is held against all keys it
// sees at once; its scores stay in the cache, and no matrix of all queries and keys is ever in memory.
#include <math.h>

#include "backend/cpu/kernels/product.h"
#include "backend/cpu/kernels/vector_math.h"
#include "backend/cpu/kernels/vectors.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// The launch's space (B,H,T,D). ints: causal, distance from q to k and from k to v, the same of the gradient.
struct Heads {
  int64_t heads, time, size, rows;
  bool causal;
  explicit Heads(const Launch& l)
      : heads(l.shape[1]), time(l.shape[2]), size(l.shape[3]), rows(attention_rows(l)), causal(l.ints[0] != 0) {}
  // Keys that the queries before `end` see.
  int64_t seen(int64_t end) const { return causal ? end : time; }
};

// Rows of one head of an operand, their elements side by side.
template <typename T>
Matrix<T> rows_of(const Call& call, int operand, int64_t item, const Heads& h, int64_t part = 0) {
  const Operand& o = call.launch.operands[operand];
  const int64_t at = item / h.heads * o.strides[0] + item % h.heads * o.strides[1] + part;
  return {static_cast<const T*>(call.pointers[operand]) + at, o.strides[2], 1};
}
template <typename T>
Matrix<T> from_row(const Matrix<T>& m, int64_t row) {
  return {m.data + row * m.row, m.row, m.column};
}
template <typename T>
Matrix<T> transposed(const Matrix<T>& m) {
  return {m.data, m.column, m.row};
}

// Scores s[0, n) of a row become exp(scale s - top); behind them, up to `n` rounded up to vectors, are zeros. Returns
// 1 / their sum. As the composite does, nothing is subtracted where the largest score is infinite.
template <typename T>
T softmax_row(T* s, int64_t n, T scale) {
  constexpr int E = kLanes<T>;
  const int64_t whole = round_up(n, E);
  Vector<T> lane;
  for (int l = 0; l < E; ++l) lane[l] = static_cast<T>(l);
  const Vector<T> none = Vector<T>{} - static_cast<T>(HUGE_VAL);
  Vector<T> best = none;
  for (int64_t i = 0; i < whole; i += E) {
    const Vector<T> v = lane < static_cast<T>(n - i) ? load(s + i) * scale : none;
    store<T>(s + i, v);
    best = v > best ? v : best;
  }
  T top = across(best, [](const Vector<T>& a, const Vector<T>& b) { return a > b ? a : b; });
  if (top - top != 0) top = 0;
  for (int64_t i = 0; i < whole; ++i) s[i] = v_exp(s[i] - top);
  store<T>(s + whole - E, lane < static_cast<T>(n - whole + E) ? load(s + whole - E) : Vector<T>{});
  TwoSums<T> sum;
  sum.add(
      whole, [&](int64_t i, Vector<T>& a, Vector<T>&) { a += load(s + i); }, [](int64_t, T&, T&) {});
  return static_cast<T>(1 / sum.first);
}

// The softmax of queries [begin, end) of a block: unnormalised rows in `scores`, factors in `inverse`. Keys that a
// query does not see, among the `keys` of the block, get 0.
template <typename T>
void block_scores(const Heads& h, const Matrix<T>& q, const Matrix<T>& k, int64_t begin, int64_t end, int64_t row,
                  T scale, T* scores, T* inverse, void* scratch) {
  const int64_t keys = h.seen(end);
  product_of(end - begin, keys, h.size, from_row(q, begin), transposed(k), scores, row, false, scratch);
  for (int64_t i = begin; i < end; ++i) {
    T* s = scores + (i - begin) * row;
    const int64_t n = h.seen(i + 1);
    inverse[i - begin] = softmax_row(s, n, scale);
    for (int64_t j = n; j < keys; ++j) s[j] = 0;
  }
}

// Operands: y (B,H,T,D), qkv as (B,H,T,D) at q.
template <typename T>
void attention(const Call& call) {
  const Heads h(call.launch);
  const int64_t per_head = ceil_divide(h.time, h.rows), row = score_row(call.launch), part = call.launch.ints[1];
  const Operand& out = call.launch.operands[0];
  T* scores = reinterpret_cast<T*>(static_cast<char*>(call.scratch) + kGemmScratch);
  T inverse[kMostQueries];
  for (int64_t block = call.begin; block < call.end; ++block) {
    const int64_t item = block / per_head, begin = block % per_head * h.rows, end = smaller(begin + h.rows, h.time);
    const auto q = rows_of<T>(call, 1, item, h), k = rows_of<T>(call, 1, item, h, part),
               v = rows_of<T>(call, 1, item, h, 2 * part);
    block_scores(h, q, k, begin, end, row, static_cast<T>(call.launch.reals[0]), scores, inverse, call.scratch);
    T* y = static_cast<T*>(call.pointers[0]) + item / h.heads * out.strides[0] + item % h.heads * out.strides[1] +
           begin * out.strides[2];
    product_of(end - begin, h.size, h.seen(end), Matrix<T>{scores, row, 1}, v, y, out.strides[2], false, call.scratch);
    for (int64_t i = 0; i < end - begin; ++i) {
      for (int64_t e = 0; e < h.size; ++e) y[i * out.strides[2] + e] *= inverse[i];
    }
  }
}

// Turns the gradient of a row of probabilities into that of its scores: p (dp - <p, dp>) scale. `p` is normalised.
template <typename T>
void softmax_row_backward(T* p, T* dp, int64_t n, T inverse, T scale) {
  TwoSums<T> inner;
  inner.add(
      n,
      [&](int64_t i, Vector<T>& a, Vector<T>&) {
        const Vector<T> value = load(p + i) * inverse;
        store<T>(p + i, value);
        a += value * load(dp + i);
      },
      [&](int64_t i, T& a, T&) {
        p[i] *= inverse;
        a = p[i] * dp[i];
      });
  const T mean = static_cast<T>(inner.first);
  for (int64_t i = 0; i < n; ++i) dp[i] = p[i] * (dp[i] - mean) * scale;
}

// Operands: dqkv and qkv as (B,H,T,D) at q, u (B,H,T,D). One head is one block: every query adds to all keys it sees.
template <typename T>
void attention_backward(const Call& call) {
  const Heads h(call.launch);
  const int64_t row = score_row(call.launch), part = call.launch.ints[1], out_part = call.launch.ints[2];
  const Operand& out = call.launch.operands[0];
  const T scale = static_cast<T>(call.launch.reals[0]);
  T* scores = reinterpret_cast<T*>(static_cast<char*>(call.scratch) + kGemmScratch);
  T* slopes = scores + attention_table(call.launch);
  T inverse[kMostQueries];
  for (int64_t item = call.begin; item < call.end; ++item) {
    const auto q = rows_of<T>(call, 1, item, h), k = rows_of<T>(call, 1, item, h, part),
               v = rows_of<T>(call, 1, item, h, 2 * part), u = rows_of<T>(call, 2, item, h);
    T* dq = static_cast<T*>(call.pointers[0]) + item / h.heads * out.strides[0] + item % h.heads * out.strides[1];
    // From the last block on, which sees every key and so writes what the others add to.
    for (int64_t block = ceil_divide(h.time, h.rows) - 1; block >= 0; --block) {
      const int64_t begin = block * h.rows, end = smaller(begin + h.rows, h.time), n = end - begin;
      const int64_t keys = h.seen(end);
      const bool add = end < h.time;
      block_scores(h, q, k, begin, end, row, scale, scores, inverse, call.scratch);
      product_of(n, keys, h.size, from_row(u, begin), transposed(v), slopes, row, false, call.scratch);
      for (int64_t i = 0; i < n; ++i) softmax_row_backward(scores + i * row, slopes + i * row, keys, inverse[i], scale);
      const Matrix<T> p = {scores, row, 1}, ds = {slopes, row, 1};
      product_of(n, h.size, keys, ds, k, dq + begin * out.strides[2], out.strides[2], false, call.scratch);
      product_of(keys, h.size, n, transposed(ds), from_row(q, begin), dq + out_part, out.strides[2], add, call.scratch);
      product_of(keys, h.size, n, transposed(p), from_row(u, begin), dq + 2 * out_part, out.strides[2], add,
                 call.scratch);
    }
  }
}

template <typename T>
void enter_both(KernelTable& table) {
  enter<T>(table, LaunchCode::attention, attention<T>);
  enter<T>(table, LaunchCode::attention_backward, attention_backward<T>);
}

}  // namespace

void add_attention(KernelTable& table) {
  enter_both<float>(table);
  enter_both<double>(table);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
