// matmul over batch axes, by one of three ways that the shape alone chooses: a plain loop, our gemm, or the BLAS.
#include "backend/cpu/blas.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels/conv.h"

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
void tiny_product(int64_t m, int64_t n, int64_t k, const Matrix<T>& a, const Matrix<T>& b, T* c, int64_t c_row) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += static_cast<double>(a.data[i * a.row + p * a.column]) * b.data[p * b.row + j * b.column];
      c[i * c_row + j] = static_cast<T>(sum);
    }
  }
}

template <typename T>
void product_of(int64_t m, int64_t n, int64_t k, const Matrix<T>& a, const Matrix<T>& b, T* c, int64_t c_row,
                void* scratch) {
  if (m * n * k <= kTinyProduct) return tiny_product(m, n, k, a, b, c, c_row);
  const Layout x = blas_layout(m, k, a.row, a.column), y = blas_layout(k, n, b.row, b.column);
  if (have_blas() && x.fits && y.fits) {
    return blas_gemm(m, n, k, a.data, x.lead, x.transposed, b.data, y.lead, y.transposed, c, c_row);
  }
  if (n <= kFewColumns) return tiny_product(m, n, k, a, b, c, c_row);
  gemm(m, n, k, a, b, c, c_row, false, scratch);
}

// Element offsets of batch item `index` in each operand.
struct BatchOffsets {
  int64_t at[3];
};
BatchOffsets find_item(const Launch& launch, int batch_rank, int64_t index) {
  BatchOffsets offsets = {};
  for (int d = batch_rank - 1; d >= 0; --d) {
    const int64_t i = index % launch.shape[d];
    index /= launch.shape[d];
    for (int operand = 0; operand < 3; ++operand) offsets.at[operand] += i * launch.operands[operand].strides[d];
  }
  return offsets;
}

// Operands: out, a, b with strides over (batch..., M, N, K).
template <typename T>
void matmul(const Call& call) {
  const Launch& launch = call.launch;
  const MatmulPlan p = plan_matmul(launch);
  const int rows = p.batch_rank, columns = rows + 1, depth = rows + 2;
  const Operand *out = &launch.operands[0], *a = &launch.operands[1], *b = &launch.operands[2];
  for (int64_t block = call.begin; block < call.end; ++block) {
    const int64_t j = block % p.n_tiles * p.tile_n, n = smaller(p.tile_n, p.n - j);
    const int64_t i = block / p.n_tiles % p.m_tiles * p.tile_m, m = smaller(p.tile_m, p.m - i);
    const int64_t first = block / (p.n_tiles * p.m_tiles) * p.block_batch;
    for (int64_t item = first; item < smaller(first + p.block_batch, p.batch); ++item) {
      const BatchOffsets at = find_item(launch, p.batch_rank, item);
      const Matrix<T> x = {static_cast<const T*>(call.pointers[1]) + at.at[1] + i * a->strides[rows], a->strides[rows],
                           a->strides[depth]};
      const Matrix<T> y = {static_cast<const T*>(call.pointers[2]) + at.at[2] + j * b->strides[columns],
                           b->strides[depth], b->strides[columns]};
      T* c = static_cast<T*>(call.pointers[0]) + at.at[0] + i * out->strides[rows] + j;
      if (p.k == 0) {
        for (int64_t r = 0; r < m; ++r) zero(c + r * p.n, n * sizeof(T));
        continue;
      }
      product_of(m, n, p.k, x, y, c, p.n, call.scratch);
    }
  }
}

}  // namespace

void add_contractions(KernelTable& table) {
  enter<float>(table, LaunchCode::matmul, matmul<float>);
  enter<double>(table, LaunchCode::matmul, matmul<double>);
  add_gather_convolutions(table);
  add_weight_convolution(table);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
