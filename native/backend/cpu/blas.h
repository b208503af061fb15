// BLAS: the matrix product of the linked library, if there is one. Single-threaded; may be called from several threads.
#pragma once
#include <cstdint>

namespace ptmz::cpu {

bool have_blas();
const char* blas_name();  // "OpenBLAS 0.3.21 (static)" or "builtin"

// c (m,n) = a (m,k) b (k,n), or c += with `add`, all row-major; a transposed operand is stored (k,m) or (n,k) with that
// leading dimension. Call only where have_blas().
void blas_gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_lead, bool a_transposed, const float* b,
               int64_t b_lead, bool b_transposed, float* c, int64_t c_lead, bool add);
void blas_gemm(int64_t m, int64_t n, int64_t k, const double* a, int64_t a_lead, bool a_transposed, const double* b,
               int64_t b_lead, bool b_transposed, double* c, int64_t c_lead, bool add);

}  // namespace ptmz::cpu
