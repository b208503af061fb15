// Column-major products as plain loops. What is multiplied is rounded as tensor cores do, so that precisions can be
// told apart.
#include "backend/cuda/host/products_on_host.h"

#include <bit>

namespace {

int64_t products = 0, products_with_bias = 0;

}  // namespace

int64_t cuda_on_host::products_run() { return products; }
int64_t cuda_on_host::products_with_bias_run() { return products_with_bias; }

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

template <typename T>
void multiply(const Problem& p, T alpha, const T* a, const T* b, T beta, T* c) {
  ++products;
  products_with_bias += p.bias != nullptr;
  for (int64_t item = 0; item < p.batch; ++item)
    for (int64_t j = 0; j < p.n; ++j)
      for (int64_t i = 0; i < p.m; ++i) {
        double sum = 0;
        for (int64_t d = 0; d < p.k; ++d)
          sum += factor(a[item * p.a_stride + (p.a_transposed ? i * p.a_lead + d : d * p.a_lead + i)], p.compute) *
                 factor(b[item * p.b_stride + (p.b_transposed ? d * p.b_lead + j : j * p.b_lead + d)], p.compute);
        T& out = c[item * p.c_stride + j * p.c_lead + i];
        out = alpha * static_cast<T>(sum) + (beta == 0 ? T(0) : beta * out);
        if (p.bias != nullptr) out += static_cast<const T*>(p.bias)[item * p.bias_stride + i];
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

}  // namespace

cudaError_t run_product(cudaStream_t stream, DType real, const Problem& p, const void* alpha, const void* a,
                        const void* b, const void* beta, void* c) {
  const void* const addresses[] = {a, b, c, p.bias};
  const cudaError_t error = cuda_on_host::check_addresses(addresses, sizeof addresses);
  if (error != cudaSuccess) return error;
  return real == DType::f64 ? launch<double>(stream, p, alpha, a, b, beta, c)
                            : launch<float>(stream, p, alpha, a, b, beta, c);
}

}  // namespace ptmz::cuda
