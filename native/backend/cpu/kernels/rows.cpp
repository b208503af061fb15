// Inner products and sums of many long rows: the history of L-BFGS. Rows are walked several at a time, because one
// alone waits for the caches.
#include "backend/cpu/kernels/block.h"
#include "backend/cpu/kernels/lanes.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

constexpr int kProductLanes = 8;  // partial sums of an inner product, the same at every level
constexpr int kProductRows = kVectorRegisters == 32 ? 8 : 2;
constexpr int kSumRows = 8;
constexpr int64_t kAhead = 128;  // elements: the rows of a long history come from the third-level cache

typedef double Wide __attribute__((vector_size(kVectorBytes)));
constexpr int kWideLanes = kVectorBytes / sizeof(double);

template <typename T>
PTMZ_INLINE Wide load_wide(const T* x) {
  typedef T Narrow __attribute__((vector_size(kWideLanes * sizeof(T))));
  Narrow narrow;
  __builtin_memcpy(&narrow, x, sizeof narrow);
  return __builtin_convertvector(narrow, Wide);
}

// out[t][r]: the inner product of rows[r] and targets[t]; that of two floats is exact in double.
template <int Rows, int Targets, typename T>
PTMZ_INLINE void multiply_rows(const T* const* rows, const T* const* targets, int64_t n, double* const* out) {
  constexpr int vectors = kProductLanes / kWideLanes;
  Wide sums[Rows][Targets][vectors] = {};
  int64_t i = 0;
  for (; i + kProductLanes <= n; i += kProductLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      Wide x[Targets];
#pragma GCC unroll 2
      for (int t = 0; t < Targets; ++t) x[t] = load_wide(targets[t] + i + v * kWideLanes);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        if (v == 0) __builtin_prefetch(rows[r] + i + kAhead);
        const Wide y = load_wide(rows[r] + i + v * kWideLanes);
#pragma GCC unroll 2
        for (int t = 0; t < Targets; ++t) sums[r][t][v] += x[t] * y;
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int t = 0; t < Targets; ++t) {
      double part[kProductLanes];
      __builtin_memcpy(part, sums[r][t], sizeof part);
      for (int64_t k = i; k < n; ++k) part[0] += static_cast<double>(rows[r][k]) * static_cast<double>(targets[t][k]);
      out[t][r] = ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
    }
  }
}

template <int Targets, typename T>
void multiply_all(const T* const* rows, int64_t count, const T* const* targets, int64_t n, double* const* out) {
  int64_t r = 0;
  double* at[2];
  const auto next = [&] {
    for (int t = 0; t < Targets; ++t) at[t] = out[t] + r;
    return at;
  };
  for (; r + kProductRows <= count; r += kProductRows)
    multiply_rows<kProductRows, Targets>(rows + r, targets, n, next());
  for (; r < count; ++r) multiply_rows<1, Targets>(rows + r, targets, n, next());
}

template <typename T>
void inner_products(const T* const* rows, int64_t count, const T* const* targets, int target_count, int64_t n,
                    double* const* out) {
  target_count == 1 ? multiply_all<1>(rows, count, targets, n, out) : multiply_all<2>(rows, count, targets, n, out);
}

template <int Rows, typename T>
PTMZ_INLINE void add_some(T* x, const T* const* rows, const double* factors, int64_t n) {
  const T* row[Rows];
  T f[Rows];
  for (int r = 0; r < Rows; ++r) row[r] = rows[r], f[r] = static_cast<T>(factors[r]);
  PTMZ_VECTORISE
  for (int64_t i = 0; i < n; ++i) {
    T sum = x[i];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) sum += f[r] * row[r][i];
    x[i] = sum;
  }
}

template <typename T>
void add_rows(T* x, const T* const* rows, const double* factors, int64_t count, int64_t n) {
  int64_t r = 0;
  for (; r + kSumRows <= count; r += kSumRows) add_some<kSumRows>(x, rows + r, factors + r, n);
  for (; r < count; ++r) add_some<1>(x, rows + r, factors + r, n);
}

}  // namespace

void add_row_loops(KernelTable& table) {
  table.rows_f32 = {inner_products<float>, add_rows<float>};
  table.rows_f64 = {inner_products<double>, add_rows<double>};
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
