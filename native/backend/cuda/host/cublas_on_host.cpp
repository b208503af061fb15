// A stand-in for cuBLAS on the emulated device. It checks what the library checks, so that a wrong leading dimension is
// an error here too.
#include <algorithm>

#include "backend/cuda/host/products_on_host.h"

struct cublasContext {
  cudaStream_t stream;
};

namespace ptmz::cuda {
namespace {

int gemm(Cublas::Handle handle, int a_transposed, int b_transposed, int m, int n, int k, const void* alpha,
         const void* a, int a_type, int a_lead, long long a_stride, const void* b, int b_type, int b_lead,
         long long b_stride, const void* beta, void* c, int c_type, int c_lead, long long c_stride, int batch,
         int compute, int algorithm) {
  constexpr int kInvalidValue = 7, kNotSupported = 15;
  const bool good = a_lead >= std::max(1, a_transposed ? k : m) && b_lead >= std::max(1, b_transposed ? n : k) &&
                    c_lead >= std::max(1, m) && m >= 0 && n >= 0 && k >= 0 && batch >= 0;
  if (!good) return kInvalidValue;
  const bool twice = a_type == Cublas::kFloat64;
  const bool known = b_type == a_type && c_type == a_type && (compute == Cublas::kCompute64) == twice &&
                     algorithm == Cublas::kDefaultAlgorithm;
  if (!known) return kNotSupported;
  const Problem p{a_transposed != 0,
                  b_transposed != 0,
                  m,
                  n,
                  k,
                  a_lead,
                  a_stride,
                  b_lead,
                  b_stride,
                  c_lead,
                  c_stride,
                  batch,
                  compute};
  return run_product(handle->stream, twice ? DType::f64 : DType::f32, p, alpha, a, b, beta, c) == cudaSuccess ? 0 : 13;
}

}  // namespace

const Cublas& cublas() {
  static const Cublas library{
      .create = [](Cublas::Handle* handle) { return *handle = new cublasContext{nullptr}, 0; },
      .destroy = [](Cublas::Handle handle) { return delete handle, 0; },
      .set_stream = [](Cublas::Handle handle, cudaStream_t stream) { return handle->stream = stream, 0; },
      .set_workspace = [](Cublas::Handle, void*, size_t) { return 0; },
      .get_property = [](int, int*) { return 0; },
      .gemm = gemm,
      .major_version = 13,
      .version = "emulated on the host"};
  return library;
}

}  // namespace ptmz::cuda
