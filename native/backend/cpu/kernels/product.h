// Product: one matrix product by one of three ways that the shape alone chooses: a plain loop, our gemm, or the BLAS.
// With 32 vector registers our gemm was measured faster than OpenBLAS wherever its tiles have rows
// (docs/performance.md).
#pragma once
#include "backend/cpu/blas.h"
#include "backend/cpu/gemm.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// Rows and columns as a BLAS wants them: one stride is 1, the other the leading dimension.
struct Layout {
  bool fits, transposed;
  int64_t lead;
};
Layout blas_layout(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  if (rows == 1) row = larger(columns, row);
  if (columns == 1) column = larger(rows, column);
  if ((column == 1 || columns == 1) && row >= columns) return {true, false, larger(row, 1)};
  if ((row == 1 || rows == 1) && column >= rows) return {true, true, larger(column, 1)};
  return {false, false, 0};
}

template <typename T>
void tiny_product(int64_t m, int64_t n, int64_t k, const Matrix<T>& a, const Matrix<T>& b, T* c, int64_t c_row,
                  bool add) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += static_cast<double>(a.data[i * a.row + p * a.column]) * b.data[p * b.row + j * b.column];
      T& out = c[i * c_row + j];
      out = static_cast<T>(add ? static_cast<double>(out) + sum : sum);
    }
  }
}

struct Nothing {
  void operator()(int64_t, int64_t, int64_t, int64_t) const {}
};

// c (m,n) = a b, or c += a b with `add`. done(i, rows, j, columns) is called when that part of c is finished, while it
// is in a cache. scratch: kGemmScratch bytes.
template <typename T, typename F = Nothing>
void product_of(int64_t m, int64_t n, int64_t k, const Matrix<T>& a, const Matrix<T>& b, T* c, int64_t c_row, bool add,
                void* scratch, const F& done = {}) {
  const Layout x = blas_layout(m, k, a.row, a.column), y = blas_layout(k, n, b.row, b.column);
  const bool tiny = m * n * k <= kTinyProduct, wide = n >= kVector<T> / 2;
  if (!tiny && have_blas() && x.fits && y.fits && !(kVectorRegisters == 32 && m >= kTileRows && wide)) {
    blas_gemm(m, n, k, a.data, x.lead, x.transposed, b.data, y.lead, y.transposed, c, c_row, add);
  } else if (tiny || n <= kFewColumns) {
    tiny_product(m, n, k, a, b, c, c_row, add);
  } else {
    return gemm(m, n, k, a, b, c, c_row, add, scratch, done);
  }
  done(0, m, 0, n);
}

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
