// BLAS: calls into OpenBLAS, held to one thread because the threads are ours.
#include "backend/cpu/blas.h"

#ifdef PTMZ_HAVE_OPENBLAS
#include <cblas.h>

#include <string>
#endif

namespace ptmz::cpu {

#ifdef PTMZ_HAVE_OPENBLAS

bool have_blas() { return true; }

const char* blas_name() {
  // openblas_get_config() begins with "OpenBLAS 0.3.21 ...".
  static const std::string name = [] {
    std::string config = openblas_get_config();
    const size_t end = config.find(' ', config.find(' ') + 1);
#ifdef PTMZ_OPENBLAS_STATIC
    return config.substr(0, end) + " (static)";
#else
    return config.substr(0, end) + " (shared)";
#endif
  }();
  return name.c_str();
}

namespace {

void use_one_thread() {
  static const bool done = (openblas_set_num_threads(1), true);
  (void)done;
}
CBLAS_TRANSPOSE side(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }
blasint narrow(int64_t size) { return static_cast<blasint>(size); }

}  // namespace

void blas_gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_lead, bool a_transposed, const float* b,
               int64_t b_lead, bool b_transposed, float* c, int64_t c_lead, bool add) {
  use_one_thread();
  cblas_sgemm(CblasRowMajor, side(a_transposed), side(b_transposed), narrow(m), narrow(n), narrow(k), 1, a,
              narrow(a_lead), b, narrow(b_lead), add ? 1 : 0, c, narrow(c_lead));
}

void blas_gemm(int64_t m, int64_t n, int64_t k, const double* a, int64_t a_lead, bool a_transposed, const double* b,
               int64_t b_lead, bool b_transposed, double* c, int64_t c_lead, bool add) {
  use_one_thread();
  cblas_dgemm(CblasRowMajor, side(a_transposed), side(b_transposed), narrow(m), narrow(n), narrow(k), 1, a,
              narrow(a_lead), b, narrow(b_lead), add ? 1 : 0, c, narrow(c_lead));
}

#else

bool have_blas() { return false; }
const char* blas_name() { return "builtin"; }
void blas_gemm(int64_t, int64_t, int64_t, const float*, int64_t, bool, const float*, int64_t, bool, float*, int64_t,
               bool) {}
void blas_gemm(int64_t, int64_t, int64_t, const double*, int64_t, bool, const double*, int64_t, bool, double*, int64_t,
               bool) {}

#endif

}  // namespace ptmz::cpu
