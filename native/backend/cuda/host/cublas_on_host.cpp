// A stand-in for cuBLAS on the emulated device: the column-major products it promises, as plain loops. It checks what
// the library checks, so that a wrong leading dimension is an error here too.
#include <algorithm>

#include "backend/cuda/cublas.h"

struct cublasContext {
  cudaStream_t stream;
};

namespace {

int64_t products = 0;

}  // namespace

int64_t cuda_on_host::products_run() { return products; }

namespace ptmz::cuda {
namespace {

template <typename T>
int gemm(Cublas::Handle handle, int a_transposed, int b_transposed, int m, int n, int k, const T* alpha, const T* a,
         int a_lead, long long a_stride, const T* b, int b_lead, long long b_stride, const T* beta, T* c, int c_lead,
         long long c_stride, int batch) {
  constexpr int kInvalidValue = 7;
  const bool good = a_lead >= std::max(1, a_transposed ? k : m) && b_lead >= std::max(1, b_transposed ? n : k) &&
                    c_lead >= std::max(1, m) && m >= 0 && n >= 0 && k >= 0 && batch >= 0;
  if (!good) return kInvalidValue;
  const T factor = *alpha, keep = *beta;
  const auto multiply = [=] {
    ++products;
    for (int item = 0; item < batch; ++item)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < m; ++i) {
          double sum = 0;
          for (int64_t p = 0; p < k; ++p)
            sum += static_cast<double>(a[item * a_stride + (a_transposed ? i * a_lead + p : p * a_lead + i)]) *
                   static_cast<double>(b[item * b_stride + (b_transposed ? p * b_lead + j : j * b_lead + p)]);
          T& out = c[item * c_stride + j * c_lead + i];
          out = factor * static_cast<T>(sum) + (keep == 0 ? T(0) : keep * out);
        }
  };
  return cuda_on_host::launch(1, 1, 0, handle->stream, multiply) == cudaSuccess ? 0 : 13;
}

}  // namespace

const Cublas& cublas() {
  static const Cublas library{
      .create = [](Cublas::Handle* handle) { return *handle = new cublasContext{nullptr}, 0; },
      .destroy = [](Cublas::Handle handle) { return delete handle, 0; },
      .set_stream = [](Cublas::Handle handle, cudaStream_t stream) { return handle->stream = stream, 0; },
      .set_workspace = [](Cublas::Handle, void*, size_t) { return 0; },
      .get_property = [](int, int*) { return 0; },
      .sgemm = gemm<float>,
      .dgemm = gemm<double>,
      .version = "emulated on the host"};
  return library;
}

}  // namespace ptmz::cuda
