// What the stand-ins for cuBLAS and cuBLASLt compute.
#pragma once
#include "backend/cuda/cublas.h"

namespace ptmz::cuda {

// c (m,n) = alpha a (m,k) b (k,n) + beta c + bias (m), column-major, for every item of the batch.
struct Problem {
  bool a_transposed, b_transposed;
  int64_t m, n, k, a_lead, a_stride, b_lead, b_stride, c_lead, c_stride, batch;
  int compute;
  const void* bias = nullptr;
  int64_t bias_stride = 0;
};
// One launch; an error where an address is not the device's.
cudaError_t run_product(cudaStream_t stream, DType real, const Problem& problem, const void* alpha, const void* a,
                        const void* b, const void* beta, void* c);

}  // namespace ptmz::cuda
