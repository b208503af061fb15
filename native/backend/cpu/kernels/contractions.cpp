// matmul over batch axes.
#include "backend/cpu/kernels/conv.h"
#include "backend/cpu/kernels/product.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

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
      product_of(m, n, p.k, x, y, c, p.n, false, call.scratch);
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
