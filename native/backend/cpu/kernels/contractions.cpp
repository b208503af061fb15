// matmul over batch axes.
#include "backend/cpu/kernels/conv.h"
#include "backend/cpu/kernels/evaluate.h"
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

// map_behind() with its addresses.
struct MapBehind {
  Launch launch;
  void* pointers[kMaxOperands];
  Call call;

  explicit MapBehind(const Call& product)
      : launch(map_behind(product.launch)),
        call{launch,       product.instrs, pointers, 0, 0, static_cast<char*>(product.scratch) + kGemmScratch,
             product.fault} {
    pointers[0] = pointers[1] = product.pointers[0];
    for (int i = 2; i < launch.operand_count; ++i) pointers[i] = product.pointers[i + 1];
  }
};
template <typename T>
class Behind {
 public:
  // whole: apply() is called for whole rows only.
  Behind(const Call& product, bool whole)
      : map_(product), evaluator_(map_.call, 0, kBlock), width_(map_.launch.shape[1]) {
    if (!whole) return;
    // Blocks of whole rows, if as many fit one as fill its vectors.
    constexpr int64_t lanes = kCacheLine / sizeof(T);
    int64_t rows = kBlock / width_;
    while (rows > 0 && rows * width_ % lanes != 0) --rows;
    if (rows == 0) return;
    block_ = rows * width_;
    evaluator_.keep_rows(width_, smaller(block_, map_.launch.shape[0] * width_));
  }

  // Rows [i, i + rows) of columns [j, j + columns).
  void apply(int64_t i, int64_t rows, int64_t j, int64_t columns) {
    if (columns == width_) return run(i * width_, rows * width_);
    for (int64_t r = i; r < i + rows; ++r) run(r * width_ + j, columns);
  }

 private:
  void run(int64_t begin, int64_t count) {
    T* out = static_cast<T*>(map_.pointers[0]) + begin;
    evaluator_.seek(begin);
    for (int64_t e = 0; e < count; e += block_) {
      const int64_t n = smaller(block_, count - e);
      const T* result = evaluator_.next(n, out + e);
      if (result != out + e) __builtin_memcpy(out + e, result, n * sizeof(T));
    }
  }

  MapBehind map_;
  Evaluator<T> evaluator_;
  const int64_t width_;
  int64_t block_ = kBlock;
};

// Operands: out, a, b with strides over (batch..., M, N, K); then, if there are instructions, what these read beside
// the product.
template <typename T>
void matmul(const Call& call) {
  const Launch& launch = call.launch;
  const MatmulPlan p = plan_matmul(launch);
  const int rows = p.batch_rank, columns = rows + 1, depth = rows + 2;
  const bool whole = p.n_tiles == 1 && p.n <= kSliceColumns<T>;
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
        if (launch.instr_count > 0) Behind<T>(call, whole).apply(i, m, j, n);
        continue;
      }
      if (launch.instr_count == 0) {
        product_of(m, n, p.k, x, y, c, p.n, false, call.scratch);
        continue;
      }
      Behind<T> behind(call, whole);
      product_of(m, n, p.k, x, y, c, p.n, false, call.scratch,
                 [&](int64_t r, int64_t rows, int64_t q, int64_t width) { behind.apply(i + r, rows, j + q, width); });
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
