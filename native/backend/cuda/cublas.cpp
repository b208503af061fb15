// Products through cuBLAS: its handle, and the translation of row-major matrices to column-major.
#include "backend/cuda/cublas.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "backend/cuda/cublas_lt.h"

namespace ptmz::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what NVIDIA advises for the largest cards

int compute_type(DType real, Precision precision) {
  if (real == DType::f64) return Cublas::kCompute64;
  switch (precision) {
    case Precision::tf32:
      return Cublas::kCompute32Tf32;
    case Precision::bf16:
      return Cublas::kCompute32Bf16;
    default:
      return Cublas::kCompute32;
  }
}

// The same product with c by rows: that of the transposed matrices where c is by columns.
MatrixProduct with_rows(MatrixProduct p) {
  if (!p.c.transposed) return p;
  std::swap(p.m, p.n);
  std::swap(p.a, p.b);
  for (Matrices* matrices : {&p.a, &p.b, &p.c}) matrices->transposed = !matrices->transposed;
  return p;
}

}  // namespace

bool fits(const MatrixProduct& p) {
  return std::max({p.m, p.n, p.k, p.items, p.a.lead, p.b.lead, p.c.lead}) <= std::numeric_limits<int>::max();
}

Products::Products(const Cublas& library, const CublasLt& with_bias, cudaStream_t stream)
    : library_(library), stream_(stream), with_bias_(std::make_unique<BiasProducts>(with_bias)) {}

Products::~Products() {
  if (handle_ != nullptr) library_.destroy(handle_);
  if (workspace_ != nullptr) cudaFree(workspace_);
}

bool Products::open() {
  if (handle_ == nullptr && !failed_) failed_ = !library_.available() || !start();
  return !failed_;
}

bool Products::start() {
  if (library_.create(&handle_) != 0) return handle_ = nullptr, false;
  // Its own memory, so that a recorded product needs none when it is replayed.
  if (cudaMalloc(&workspace_, kWorkspaceBytes) != cudaSuccess) {
    cudaGetLastError();
    workspace_ = nullptr;
  }
  const bool ready = workspace_ != nullptr && library_.set_stream(handle_, stream_) == 0 &&
                     library_.set_workspace(handle_, workspace_, kWorkspaceBytes) == 0;
  if (ready) return with_bias_->open(), true;
  library_.destroy(handle_);
  return handle_ = nullptr, false;
}

cudaError_t Products::multiply(const MatrixProduct& given, DType real, Precision precision) {
  const MatrixProduct p = with_rows(given);
  const auto narrow = [](int64_t x) { return static_cast<int>(x); };
  const float one32 = 1, keep32 = p.adds ? 1 : 0;
  const double one64 = 1, keep64 = p.adds ? 1 : 0;
  const bool twice = real == DType::f64;
  const void* one = twice ? static_cast<const void*>(&one64) : &one32;
  const void* keep = twice ? static_cast<const void*>(&keep64) : &keep32;
  const int type = twice ? Cublas::kFloat64 : Cublas::kFloat32;
  // C = A B row-major is C' = B' A' column-major, and a row-major matrix is its own transpose there.
  const int status = library_.gemm(handle_, p.b.transposed, p.a.transposed, narrow(p.n), narrow(p.m), narrow(p.k), one,
                                   p.b.data, type, narrow(p.b.lead), p.b.stride, p.a.data, type, narrow(p.a.lead),
                                   p.a.stride, keep, p.c.data, type, narrow(p.c.lead), p.c.stride, narrow(p.items),
                                   compute_type(real, precision), Cublas::kDefaultAlgorithm);
  if (status == 0) return cudaSuccess;
  const cudaError_t error = cudaGetLastError();
  return error != cudaSuccess ? error : cudaErrorInvalidValue;
}

bool Products::multiply_with_bias(const MatrixProduct& product, const Bias& bias, Precision precision) {
  return with_bias_->multiply(product, bias, compute_type(DType::f32, precision), workspace_, kWorkspaceBytes, stream_);
}

}  // namespace ptmz::cuda
