// Extreme eigenvalues of each member's Hessian: Lanczos for either end, power iteration for the largest magnitude.
#pragma once
#include "solvers/hessian.h"
#include "solvers/probe.h"

namespace ptmz {

enum class Which { largest, smallest, both, magnitude };
// pyhessian: power iteration with that program's normalisation and stopping rule.
enum class EigenMethod { lanczos, power, pyhessian };

struct EigenOptions {
  HessianOptions hessian;
  std::vector<ParameterRange> ranges;
  std::vector<uint64_t> seeds;  // per member; start k of a member depends on (its seed, stream, k) alone
  uint32_t stream = 0;
  const Vector* start = nullptr;  // (P,n): the members' first starts; null: random
  EigenMethod method = EigenMethod::lanczos;
  Which which = Which::largest;  // power iterations: magnitude
  int64_t count = 1;             // eigenvalues, at each end for `both`
  int64_t steps = 100;           // at most: Hessian-vector products of a member; for power iterations, of an eigenvalue
  double tolerance = 1e-4;
};

struct Eigenvalues {
  // largest: descending; smallest: ascending; both: one after the other; magnitude: by falling magnitude.
  std::vector<double> values;
  std::vector<double> residuals;  // |H v - value v| for the vector v of length 1 that belongs to it
  std::vector<uint8_t> converged;
  int64_t iterations = 0;                    // Hessian-vector products
  std::vector<std::vector<double>> history;  // power iterations: v^T H v, step by step, of every eigenvalue
};

struct EigenProgress {
  int64_t member, members, step, steps;
  double fraction;         // of the work if no member stops early
  double value, residual;  // of the first eigenvalue so far
};
using EigenReport = std::function<void(const EigenProgress&)>;

std::vector<Eigenvalues> hessian_eigenvalues(const EigenOptions& options, const EigenReport& progress);

// One member, already selected. `report` is called after every Hessian-vector product.
using StepReport = std::function<void(int64_t step, double value, double residual)>;
Eigenvalues lanczos_eigenvalues(const EigenOptions& options, HessianOperator& hessian, int64_t member,
                                const StepReport& report);
Eigenvalues power_eigenvalues(const EigenOptions& options, HessianOperator& hessian, int64_t member,
                              const StepReport& report);

// H v for one direction in float64, rounded to the element type of the parameters on the way in.
class HessianProduct {
 public:
  HessianProduct(HessianOperator& hessian, DType dtype) : hessian_(hessian), v_(dtype, 1, hessian.size()) {}
  std::vector<double>& operator()(const double* v);

 private:
  HessianOperator& hessian_;
  Vector v_;
  std::vector<double> result_;
};

// The start of a member: a row of options.start for index 0 where there is one, else drawn.
std::vector<double> draw_start(const EigenOptions& options, int64_t member, ProbeUse use, ProbeKind kind,
                               uint32_t index);

}  // namespace ptmz
