// The choice of products for cuBLAS, and their translation to column-major.
#include "backend/cuda/cublas.h"

#include <algorithm>
#include <limits>

#include "backend/cuda/cut.h"

namespace ptmz::cuda {
namespace {

constexpr int64_t kLargeProduct = int64_t{1} << 21;   // multiply-adds; below it a launch of our own costs less
constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what NVIDIA advises for the largest cards

// Rows x columns with one unit stride: how a row-major matrix is read by a column-major library.
struct Side {
  bool fits, transposed;  // of the column-major reading
  int64_t lead;
};
Side side(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  if ((column == 1 || columns == 1) && (row >= columns || rows == 1)) return {true, false, std::max(row, columns)};
  if ((row == 1 || rows == 1) && (column >= rows || columns == 1)) return {true, true, std::max(column, rows)};
  return {false, false, 0};
}

struct Product {
  int64_t m, n, k, items;
  Side a, b;
  int64_t strides[3];  // from one item of the batch to the next; 0 where it is shared

  // One stride must lead through the batch: the launch's own, or the members of a launch without one.
  explicit Product(const DeviceLaunch& d) : strides{} {
    const Launch& l = *d.launch;
    const int r = l.rank - 3;
    m = l.shape[r], n = l.shape[r + 1], k = l.shape[r + 2];
    items = product(l.shape, 0, r);
    a = side(m, k, l.operands[1].strides[r], l.operands[1].strides[r + 2]);
    b = side(k, n, l.operands[2].strides[r + 2], l.operands[2].strides[r + 1]);
    const int64_t element = d.real == DType::f64 ? 8 : 4;
    for (int i = 0; i < 3; ++i) strides[i] = items > 1 ? l.operands[i].strides[r - 1] : d.member_bytes[i] / element;
  }
  bool fits(const DeviceLaunch& d) const {
    const int r = d.launch->rank - 3;
    const int64_t most = std::numeric_limits<int>::max();
    const bool one_stride = items == 1 || (r == 1 && d.members == 1);
    return one_stride && a.fits && b.fits && std::max({m, n, k, a.lead, b.lead, items, d.members}) <= most;
  }
};

}  // namespace

Products::~Products() {
  if (handle_ != nullptr) library_.destroy(handle_);
  if (workspace_ != nullptr) cudaFree(workspace_);
}

bool Products::open() {
  if (handle_ != nullptr) return true;
  if (library_.create(&handle_) != 0) return handle_ = nullptr, false;
  // Its own memory, so that a recorded product needs none when it is replayed.
  if (cudaMalloc(&workspace_, kWorkspaceBytes) != cudaSuccess) {
    cudaGetLastError();
    workspace_ = nullptr;
  }
  const bool ready = workspace_ != nullptr && library_.set_stream(handle_, stream_) == 0 &&
                     library_.set_workspace(handle_, workspace_, kWorkspaceBytes) == 0;
  if (ready) return true;
  library_.destroy(handle_);
  return handle_ = nullptr, false;
}

bool Products::take(const DeviceLaunch& d) {
  if (!library_.available() || failed_ || d.launch->code != LaunchCode::matmul) return false;
  const Product p(d);
  if (p.m * p.n * p.k < kLargeProduct || !p.fits(d)) return false;
  failed_ = !open();
  return !failed_;
}

template <typename T>
int Products::multiply(const DeviceLaunch& d, Cublas::Gemm<T> gemm) const {
  const Product p(d);
  const T one = 1, zero = 0;
  const auto narrow = [](int64_t x) { return static_cast<int>(x); };
  // C = A B row-major is C' = B' A' column-major, and a row-major matrix is its own transpose there.
  return gemm(handle_, p.b.transposed, p.a.transposed, narrow(p.n), narrow(p.m), narrow(p.k), &one,
              static_cast<const T*>(d.pointers[2]), narrow(p.b.lead), p.strides[2],
              static_cast<const T*>(d.pointers[1]), narrow(p.a.lead), p.strides[1], &zero,
              static_cast<T*>(d.pointers[0]), narrow(p.n), p.strides[0], narrow(p.items > 1 ? p.items : d.members));
}

cudaError_t Products::run(const DeviceLaunch& d) {
  const int status = d.real == DType::f64 ? multiply(d, library_.dgemm) : multiply(d, library_.sgemm);
  if (status == 0) return cudaSuccess;
  const cudaError_t error = cudaGetLastError();
  return error != cudaSuccess ? error : cudaErrorInvalidValue;
}

}  // namespace ptmz::cuda
