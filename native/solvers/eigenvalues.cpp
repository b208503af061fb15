// The loop over members, and what both methods share.
#include "solvers/eigenvalues.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "ir/error.h"

namespace ptmz {

std::vector<double>& HessianProduct::operator()(const double* v) {
  write_row(v, v_, 0);
  hessian_.apply(v_, result_);
  return result_;
}

std::vector<double> draw_start(const EigenOptions& o, int64_t member, ProbeUse use, ProbeKind kind, uint32_t index) {
  std::vector<double> v(o.hessian.params->size(), 0.0);
  if (o.start && index == 0) {
    for (size_t i = 0; i < v.size(); ++i) v[i] = read_real(*o.start, member, i);
  } else {
    draw_probe({o.seeds[member], o.stream, use, index}, kind, o.ranges, v.data());
  }
  return v;
}

namespace {

void validate(const EigenOptions& o) {
  const auto expect = [](bool ok, const char* what) {
    if (!ok) throw Error("INVALID_ARGUMENT", std::string("eigenvalues: ") + what);
  };
  check_probes(o.ranges, o.seeds, o.hessian.params);
  expect(o.count >= 1 && o.steps >= 1 && o.tolerance >= 0, "count and steps must be 1 or more, tolerance 0 or more");
  expect(o.method == EigenMethod::lanczos || o.which == Which::magnitude, "power iterations find magnitudes alone");
  expect(!o.start || (o.start->rows() == o.hessian.params->rows() && o.start->size() == o.hessian.params->size()),
         "start must be laid out as the parameters");
}

}  // namespace

std::vector<Eigenvalues> hessian_eigenvalues(const EigenOptions& o, const EigenReport& progress) {
  validate(o);
  HessianOperator hessian(o.hessian);
  const int64_t members = o.hessian.params->rows();
  const bool lanczos = o.method == EigenMethod::lanczos;
  const int64_t steps = lanczos ? o.steps : o.steps * o.count;
  auto reported = std::chrono::steady_clock::time_point{};
  std::vector<Eigenvalues> results;
  for (int64_t m = 0; m < members; ++m) {
    hessian.select(m);
    const auto report = [&](int64_t step, double value, double residual) {
      const auto now = std::chrono::steady_clock::now();
      if (!progress || now - reported < std::chrono::milliseconds(34)) return;
      reported = now;
      const double part = static_cast<double>(step) / static_cast<double>(steps);
      progress({m, members, step, steps, std::min((m + part) / members, 0.9999), value, residual});
    };
    results.push_back((lanczos ? lanczos_eigenvalues : power_eigenvalues)(o, hessian, m, report));
  }
  if (progress) {
    const Eigenvalues& last = results.back();
    progress({members - 1, members, last.iterations, steps, 1.0, last.values[0], last.residuals[0]});
  }
  return results;
}

}  // namespace ptmz
