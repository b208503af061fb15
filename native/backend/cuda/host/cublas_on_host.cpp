// A stand-in for cuBLAS on the emulated device: the column-major products it promises, as plain loops. It rounds what
// it multiplies as tensor cores do, so that precisions can be told apart, and checks what the library checks, so that a
// wrong leading dimension is an error here too.
#include <algorithm>
#include <bit>

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

// To the nearest number with 23 - `dropped` bits behind the point, to even where two are as near.
float rounded(float value, int dropped) {
  if (value - value != 0) return value;  // not finite
  const uint32_t bits = std::bit_cast<uint32_t>(value), last = bits >> dropped & 1;
  const uint32_t up = bits + (uint32_t{1} << (dropped - 1)) - 1 + last;
  return std::bit_cast<float>(up >> dropped << dropped);
}
double factor(float value, int compute) {
  switch (compute) {
    case Cublas::kCompute32Tf32:
      return rounded(value, 13);
    case Cublas::kCompute32Bf16:
      return rounded(value, 16);
    default:
      return value;
  }
}
double factor(double value, int) { return value; }

struct Problem {
  bool a_transposed, b_transposed;
  int64_t m, n, k, a_lead, a_stride, b_lead, b_stride, c_lead, c_stride, batch;
  int compute;
};

template <typename T>
void multiply(const Problem& p, T alpha, const T* a, const T* b, T beta, T* c) {
  ++products;
  for (int64_t item = 0; item < p.batch; ++item)
    for (int64_t j = 0; j < p.n; ++j)
      for (int64_t i = 0; i < p.m; ++i) {
        double sum = 0;
        for (int64_t d = 0; d < p.k; ++d)
          sum += factor(a[item * p.a_stride + (p.a_transposed ? i * p.a_lead + d : d * p.a_lead + i)], p.compute) *
                 factor(b[item * p.b_stride + (p.b_transposed ? d * p.b_lead + j : j * p.b_lead + d)], p.compute);
        T& out = c[item * p.c_stride + j * p.c_lead + i];
        out = alpha * static_cast<T>(sum) + (beta == 0 ? T(0) : beta * out);
      }
}

template <typename T>
cudaError_t launch(cudaStream_t stream, const Problem& p, const void* alpha, const void* a, const void* b,
                   const void* beta, void* c) {
  const T factor = *static_cast<const T*>(alpha), keep = *static_cast<const T*>(beta);
  return cuda_on_host::launch(1, 1, 0, stream, [=] {
    multiply(p, factor, static_cast<const T*>(a), static_cast<const T*>(b), keep, static_cast<T*>(c));
  });
}

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
  const void* const matrices[] = {a, b, c};
  if (cuda_on_host::check_addresses(matrices, sizeof matrices) != cudaSuccess) return kInvalidValue;
  const auto launched = twice ? launch<double>(handle->stream, p, alpha, a, b, beta, c)
                              : launch<float>(handle->stream, p, alpha, a, b, beta, c);
  return launched == cudaSuccess ? 0 : 13;
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
      .version = "emulated on the host"};
  return library;
}

}  // namespace ptmz::cuda
