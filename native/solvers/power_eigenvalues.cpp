// Power iteration with deflation: v <- H v / |H v|, orthogonal to the vectors that were found before.
#include <cmath>

#include "solvers/eigenvalues.h"
#include "solvers/lanczos.h"

namespace ptmz {

namespace {

using Vectors = std::vector<std::vector<double>>;

double length(const std::vector<double>& v) { return std::sqrt(dot(v.data(), v.data(), v.size())); }

// PyHessian divides by (norm + 1e-6), which also leaves a vector of zeros as it is.
void normalise(std::vector<double>& v, double added) {
  const double norm = length(v) + added;
  for (double& x : v) x = norm > 0 ? x / norm : 0;
}

void deflate(std::vector<double>& v, const Vectors& found) {
  for (const std::vector<double>& u : found) {
    const double product = dot(u.data(), v.data(), v.size());
    for (size_t i = 0; i < v.size(); ++i) v[i] -= product * u[i];
  }
}

double residual_of(const std::vector<double>& w, double value, const std::vector<double>& v) {
  double sum = 0;
  for (size_t i = 0; i < v.size(); ++i) sum += (w[i] - value * v[i]) * (w[i] - value * v[i]);
  return std::sqrt(sum);
}

}  // namespace

Eigenvalues power_eigenvalues(const EigenOptions& o, HessianOperator& hessian, int64_t member,
                              const StepReport& report) {
  const bool compatible = o.method == EigenMethod::pyhessian;
  const double added = compatible ? 1e-6 : 0;
  HessianProduct product(hessian, o.hessian.params->dtype());
  Eigenvalues result;
  Vectors found;
  for (int64_t k = 0; k < o.count; ++k) {
    std::vector<double> v = draw_start(o, member, ProbeUse::power, ProbeKind::normal, static_cast<uint32_t>(k));
    normalise(v, added);
    std::vector<double> history;
    double value = 0, residual = 0;
    bool converged = false;
    for (int64_t step = 0; step < o.steps && !converged; ++step) {
      deflate(v, found);
      normalise(v, added);
      std::vector<double>& w = product(v.data());
      ++result.iterations;
      const double before = value;
      value = dot(v.data(), w.data(), v.size());
      residual = residual_of(w, value, v);
      history.push_back(value);
      // The rule on changes; its own stop.
      const bool settled = step > 0 && std::fabs(value - before) / (std::fabs(before) + 1e-6) < o.tolerance;
      const double scale = std::fabs(result.values.empty() ? value : result.values[0]);
      converged = compatible ? settled : residual <= o.tolerance * scale;
      report(result.iterations, result.values.empty() ? value : result.values[0],
             result.values.empty() ? residual : result.residuals[0]);
      if (converged && !compatible) break;  // v belongs to the value
      v = w;
      normalise(v, added);
    }
    // Values that stand still do not say that v is an eigenvector: of +l and -l, v^T H v is constant and wrong.
    if (compatible) converged = converged && residual <= std::sqrt(o.tolerance) * std::fabs(value);
    result.values.push_back(value);
    result.residuals.push_back(residual);
    result.converged.push_back(converged);
    result.history.push_back(std::move(history));
    found.push_back(std::move(v));
  }
  return result;
}

}  // namespace ptmz
