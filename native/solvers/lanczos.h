// Lanczos: the tridiagonal matrix T = Q^T H Q of a symmetric H on its Krylov space, with full reorthogonalisation.
#pragma once
#include <vector>

#include "runtime/vector.h"

namespace ptmz {

// sum a_i b_i in an order that n alone fixes.
double dot(const double* a, const double* b, int64_t n);

class Lanczos {
 public:
  // start (n), not 0. A coupling below `negligible` * |T| counts as none: what rounding leaves of an exhausted space.
  Lanczos(int64_t n, const double* start, double negligible, int threads);
  // The newest vector of the basis (n), of length 1.
  const double* current() const { return vector(basis_.size() - 1); }
  // w (n) = H current(); it is overwritten. False where the Krylov space is exhausted: restart(), or stop.
  bool step(double* w);
  // Goes on with a part of `start` (n, overwritten) that is orthogonal to the basis. False where there is none.
  bool restart(double* start);
  // T: its diagonal (steps), and below it (steps); the last entry of `off` couples to what was not explored.
  const std::vector<double>& diagonal() const { return alpha_; }
  const std::vector<double>& off() const { return beta_; }
  // A bound on the spectrum of T (Gershgorin).
  double bound() const { return bound_; }

 private:
  double* vector(size_t j) const { return static_cast<double*>(basis_[j].data()); }
  double orthogonalise(double* w);  // the length that is left
  void append(const double* w, double length);
  // What is left of a vector may be little more than rounding errors: it is made orthogonal once more at length 1.
  void append_small(double* w, double length);
  int64_t n_;
  double negligible_, bound_ = 0;
  int threads_;
  std::vector<Buffer> basis_;  // float64, each (n)
  std::vector<double> alpha_, beta_;
};

}  // namespace ptmz
