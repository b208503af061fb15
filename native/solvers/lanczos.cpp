// The three-term recurrence (Lanczos 1950) where every new vector is made orthogonal to all earlier ones, twice.
#include "solvers/lanczos.h"

#include <algorithm>
#include <cmath>

#include "ir/error.h"
#include "runtime/executor.h"

namespace ptmz {

double dot(const double* a, const double* b, int64_t n) {
  double lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int lane = 0; lane < 8; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  for (int lane = 0; i < n; ++i, ++lane) lanes[lane] += a[i] * b[i];
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

Lanczos::Lanczos(int64_t n, const double* start, double negligible, int threads)
    : n_(n), negligible_(negligible), threads_(threads > 0 ? threads : hardware_threads()) {
  const double length = std::sqrt(dot(start, start, n));
  if (!(length > 0) || !std::isfinite(length)) {
    throw Error("INVALID_ARGUMENT", "start: expected finite vectors that are not 0");
  }
  append(start, length);
}

void Lanczos::append_small(double* w, double length) {
  for (int64_t i = 0; i < n_; ++i) w[i] /= length;
  append(w, orthogonalise(w));
}

void Lanczos::append(const double* w, double length) {
  basis_.emplace_back(n_ * static_cast<int64_t>(sizeof(double)));
  double* q = vector(basis_.size() - 1);
  for (int64_t i = 0; i < n_; ++i) q[i] = w[i] / length;
}

double Lanczos::orthogonalise(double* w) {
  const int64_t m = static_cast<int64_t>(basis_.size()), block = 4096;
  std::vector<double> products(m);
  // Once leaves rounding errors along the basis, twice is enough (Giraud et al. 2005) for a vector that keeps some
  // length.
  for (int pass = 0; pass < 2; ++pass) {
    parallel_for(threads_, m, [&](int64_t j, int) { products[j] = dot(vector(j), w, n_); });
    parallel_for(threads_, (n_ + block - 1) / block, [&](int64_t b, int) {
      const int64_t end = std::min(n_, (b + 1) * block);
      for (int64_t j = 0; j < m; ++j) {
        const double* q = vector(j);
        for (int64_t i = b * block; i < end; ++i) w[i] -= products[j] * q[i];
      }
    });
  }
  return std::sqrt(dot(w, w, n_));
}

bool Lanczos::step(double* w) {
  const double alpha = dot(current(), w, n_), beta = orthogonalise(w);
  bound_ = std::max(bound_, std::fabs(alpha) + beta + (beta_.empty() ? 0 : beta_.back()));
  alpha_.push_back(alpha);
  const bool coupled = beta > negligible_ * bound_;
  beta_.push_back(coupled ? beta : 0);
  if (coupled && beta < 0.01 * bound_) {
    append_small(w, beta);
  } else if (coupled) {
    append(w, beta);
  }
  return coupled;
}

bool Lanczos::restart(double* start) {
  const double length = std::sqrt(dot(start, start, n_)), left = orthogonalise(start);
  if (!(left > 1e-10 * length)) return false;
  append_small(start, left);
  return true;
}

}  // namespace ptmz
