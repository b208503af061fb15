// The choice of matmul launches for cuBLAS and cuBLASLt.
#include "backend/cuda/matmul.h"

#include <algorithm>

#include "backend/cuda/cut.h"
#include "ir/graph.h"

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

std::optional<Bias> bias_behind(const DeviceLaunch& d) {
  const Launch& l = *d.launch;
  if (d.real != DType::f32 || l.instr_count != 1 || l.operand_count != 4) return std::nullopt;
  const Instr& sum = d.instrs[l.instr_begin];
  // Registers 0 and 1 are the product and the only value that is read beside it.
  if (static_cast<Op>(sum.op) != Op::add || sum.subtracts || sum.a == sum.b) return std::nullopt;
  const Operand& values = l.operands[3];
  const bool one_per_column =
      (l.shape[0] == 1 || values.strides[0] == 0) && (l.shape[1] == 1 || values.strides[1] == 1);
  if (d.pointers[3] == nullptr || values.is_index || !one_per_column) return std::nullopt;
  const Bias bias{d.pointers[3], d.member_bytes[3] / int64_t{sizeof(float)}};
  return is_aligned(bias) ? std::optional(bias) : std::nullopt;
}

MapBehind::MapBehind(const DeviceLaunch& matmul) : map_(map_behind(*matmul.launch)), given_(matmul) {
  given_.launch = &map_;
  given_.pointers[1] = matmul.pointers[0];
  given_.member_bytes[1] = matmul.member_bytes[0];
  for (int i = 2; i < map_.operand_count; ++i) {
    given_.pointers[i] = matmul.pointers[i + 1];
    given_.member_bytes[i] = matmul.member_bytes[i + 1];
  }
}

}  // namespace ptmz::cuda
