// The choice of matmul launches for cuBLAS.
#include "backend/cuda/matmul.h"

#include <algorithm>

#include "backend/cuda/cut.h"

namespace ptmz::cuda {
namespace {

constexpr int64_t kLargeProduct = int64_t{1} << 21;  // multiply-adds; below it a launch of our own costs less

// Rows x columns with one unit stride.
std::optional<Matrices> matrices(void* data, int64_t rows, int64_t columns, int64_t row, int64_t column) {
  if ((column == 1 || columns == 1) && (row >= columns || rows == 1))
    return Matrices{data, false, std::max(row, columns), 0};
  if ((row == 1 || rows == 1) && (column >= rows || columns == 1))
    return Matrices{data, true, std::max(column, rows), 0};
  return std::nullopt;
}

}  // namespace

std::optional<MatrixProduct> large_product(const DeviceLaunch& d) {
  const Launch& l = *d.launch;
  const int r = l.rank - 3;
  const int64_t m = l.shape[r], n = l.shape[r + 1], k = l.shape[r + 2], batch = product(l.shape, 0, r);
  // One stride must lead through the batch: the launch's own, or the members of a launch without one.
  const bool one_stride = batch == 1 || (r == 1 && d.members == 1);
  if (m * n * k < kLargeProduct || !one_stride) return std::nullopt;
  const auto a = matrices(d.pointers[1], m, k, l.operands[1].strides[r], l.operands[1].strides[r + 2]);
  const auto b = matrices(d.pointers[2], k, n, l.operands[2].strides[r + 2], l.operands[2].strides[r + 1]);
  if (!a || !b) return std::nullopt;
  MatrixProduct p{m, n, k, batch > 1 ? batch : d.members, *a, *b, {d.pointers[0], false, n, 0}, false};
  const int64_t element = d.real == DType::f64 ? 8 : 4;
  Matrices* const all[] = {&p.c, &p.a, &p.b};
  for (int i = 0; i < 3; ++i) all[i]->stride = batch > 1 ? l.operands[i].strides[r - 1] : d.member_bytes[i] / element;
  if (!fits(p)) return std::nullopt;
  return p;
}

}  // namespace ptmz::cuda
