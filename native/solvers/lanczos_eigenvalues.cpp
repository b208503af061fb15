// Ritz values at the wanted ends of a Krylov space, which grows until their residuals are small.
#include <algorithm>
#include <cmath>
#include <limits>

#include "solvers/eigenvalues.h"
#include "solvers/lanczos.h"
#include "solvers/tridiagonal.h"

namespace ptmz {

namespace {

// Positions of the wanted values in an ascending list, the most wanted first.
std::vector<size_t> wanted(const std::vector<double>& values, Which which, int64_t count) {
  const size_t m = values.size(), k = std::min<size_t>(count, m);
  std::vector<size_t> order;
  if (which == Which::magnitude) {
    for (size_t i = 0; i < m; ++i) order.push_back(m - 1 - i);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return std::fabs(values[a]) > std::fabs(values[b]); });
    order.resize(k);
    return order;
  }
  if (which != Which::smallest) {
    for (size_t i = 0; i < k; ++i) order.push_back(m - 1 - i);
  }
  if (which != Which::largest) {
    for (size_t i = 0; i < k; ++i) order.push_back(i);
  }
  return order;
}

double magnitude(const std::vector<double>& ascending) {
  return std::max(std::fabs(ascending.front()), std::fabs(ascending.back()));
}

// The wanted Ritz pairs of rows [begin, end) of T. |H y - value y| = |beta_m| |last component| (Paige 1971).
Eigenvalues ritz(const Lanczos& lanczos, size_t begin, const EigenOptions& o) {
  const std::vector<double>&alpha = lanczos.diagonal(), &beta = lanczos.off();
  const TridiagonalEigen eigen =
      tridiagonal_eigen({alpha.begin() + begin, alpha.end()}, {beta.begin() + begin, beta.end()});
  const double scale = magnitude(eigen.values);
  Eigenvalues result;
  for (size_t i : wanted(eigen.values, o.which, o.count)) {
    result.values.push_back(eigen.values[i]);
    result.residuals.push_back(std::fabs(beta.back() * eigen.last[i]));
    result.converged.push_back(result.residuals.back() <= o.tolerance * scale);
  }
  result.iterations = static_cast<int64_t>(alpha.size());
  return result;
}

bool all_converged(const Eigenvalues& e) {
  return std::all_of(e.converged.begin(), e.converged.end(), [](uint8_t c) { return c != 0; });
}

bool same_values(const Eigenvalues& a, const Eigenvalues& b, double difference) {
  if (a.values.size() != b.values.size()) return false;
  for (size_t i = 0; i < a.values.size(); ++i) {
    if (std::fabs(a.values[i] - b.values[i]) > difference) return false;
  }
  return true;
}

}  // namespace

Eigenvalues lanczos_eigenvalues(const EigenOptions& o, HessianOperator& hessian, int64_t member,
                                const StepReport& report) {
  int64_t dimensions = 0;
  for (const ParameterRange& range : o.ranges) dimensions += range.end - range.begin;
  const int64_t limit = std::min(o.steps, dimensions);
  const int64_t pairs = std::min(o.which == Which::both ? 2 * o.count : o.count, dimensions);
  const DType dtype = o.hessian.params->dtype();
  HessianProduct product(hessian, dtype);
  const double negligible = dtype == DType::f32 ? 1e-6 : 1e-13;
  uint32_t starts = 0;
  // Not signs: where eigenvectors have few nonzero elements, sign vectors are often orthogonal to one of them.
  const auto draw = [&] { return draw_start(o, member, ProbeUse::lanczos, ProbeKind::normal, starts++); };
  Lanczos lanczos(hessian.size(), draw().data(), negligible, o.hessian.run.threads);
  size_t block = 0;    // where the Krylov space under way begins in T
  Eigenvalues before;  // what was wanted when the last space was exhausted
  int64_t test_at = pairs;
  double value = std::numeric_limits<double>::quiet_NaN(), residual = value;
  for (int64_t m = 1; m <= limit; ++m) {
    const bool coupled = lanczos.step(product(lanczos.current()).data());
    if (coupled && m - static_cast<int64_t>(block) >= pairs && m >= test_at) {
      const Eigenvalues here = ritz(lanczos, block, o);
      value = here.values[0], residual = here.residuals[0];
      if (all_converged(here)) break;
      test_at = m + std::max<int64_t>(1, m / 20);
    }
    report(m, value, residual);
    if (coupled || m == limit) continue;
    // An invariant subspace shows one copy of each eigenvalue it holds: others may lie outside.
    Eigenvalues now = ritz(lanczos, 0, o);
    if (m >= pairs && same_values(now, before, o.tolerance * lanczos.bound())) break;
    before = std::move(now);
    block = static_cast<size_t>(m);
    std::vector<double> next = draw();
    if (!lanczos.restart(next.data())) break;
  }
  return ritz(lanczos, 0, o);
}

}  // namespace ptmz
