// Runs of Lanczos side by side as one population, their quadratures, and the mean of their smoothed densities.
#include "solvers/spectrum.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "ir/error.h"
#include "solvers/lanczos.h"
#include "solvers/tridiagonal.h"

namespace ptmz {

namespace {

void validate(const SpectrumOptions& o) {
  const auto expect = [](bool ok, const char* what) {
    if (!ok) throw Error("INVALID_ARGUMENT", std::string("spectrum: ") + what);
  };
  check_probes(o.ranges, o.seeds, o.hessian.params);
  expect(o.runs >= 1 && o.steps >= 1 && o.block >= 1 && o.bins >= 2, "runs, steps and block must be 1 or more, bins 2");
  expect(o.sigma >= 0 && o.margin >= 0, "sigma and margin must be 0 or more");
  expect(
      !o.start || (o.start->rows() == o.hessian.params->rows() * o.runs && o.start->size() == o.hessian.params->size()),
      "start must be laid out as the parameters, with a row for each run of each member");
}

std::vector<double> draw_run(const SpectrumOptions& o, int64_t member, int64_t run) {
  std::vector<double> v(o.hessian.params->size(), 0.0);
  if (o.start) {
    for (size_t i = 0; i < v.size(); ++i) v[i] = read_real(*o.start, member * o.runs + run, i);
  } else {
    draw_probe({o.seeds[member], o.stream, ProbeUse::spectrum, static_cast<uint32_t>(run)}, ProbeKind::signs, o.ranges,
               v.data());
  }
  return v;
}

Quadrature quadrature(const Lanczos& lanczos) {
  Quadrature result;
  result.alpha = lanczos.diagonal();
  result.beta.assign(lanczos.off().begin(), lanczos.off().end() - 1);
  const TridiagonalEigen eigen = tridiagonal_eigen(result.alpha, result.beta);
  result.nodes = eigen.values;
  for (double c : eigen.first) result.weights.push_back(c * c);
  return result;
}

// Runs [first, first + count) of a member in step.
void run_block(const SpectrumOptions& o, HessianOperator& hessian, int64_t member, int64_t first, int64_t count,
               int64_t steps, Spectrum& spectrum, const std::function<void(int64_t)>& finished) {
  const int64_t n = hessian.size();
  const DType dtype = o.hessian.params->dtype();
  std::vector<Lanczos> runs;
  std::vector<int64_t> active;
  for (int64_t k = 0; k < count; ++k) {
    const double negligible = dtype == DType::f32 ? 1e-6 : 1e-13;
    runs.emplace_back(n, draw_run(o, member, first + k).data(), negligible, o.hessian.run.threads);
    active.push_back(k);
  }
  std::vector<double> products;
  for (int64_t step = 0; step < steps && !active.empty(); ++step) {
    Vector v(dtype, static_cast<int64_t>(active.size()), n);
    for (size_t row = 0; row < active.size(); ++row) write_row(runs[active[row]].current(), v, row);
    hessian.apply(v, products);
    std::vector<int64_t> left;
    for (size_t row = 0; row < active.size(); ++row) {
      if (runs[active[row]].step(products.data() + row * n)) left.push_back(active[row]);
    }
    active = left;
    finished((step + 1) * count);
  }
  for (const Lanczos& run : runs) spectrum.runs.push_back(quadrature(run));
}

// The mean over runs of sum_i weights_i N(x; nodes_i, sigma^2), scaled to integrate to 1 over the grid. The width is
// that of PyHessian: sigma^2 = 1e-5 max(1, last - first point of the grid).
void smooth(const SpectrumOptions& o, Spectrum& spectrum) {
  double low = 0, high = 0;
  for (const Quadrature& run : spectrum.runs) {
    low += run.nodes.front() / static_cast<double>(spectrum.runs.size());
    high += run.nodes.back() / static_cast<double>(spectrum.runs.size());
  }
  low -= o.margin;
  high += o.margin;
  const double step = (high - low) / static_cast<double>(o.bins - 1);
  const double variance = o.sigma > 0 ? o.sigma * o.sigma : 1e-5 * std::max(1.0, high - low);
  for (int64_t i = 0; i < o.bins; ++i) spectrum.grid.push_back(i + 1 < o.bins ? low + i * step : high);
  spectrum.density.assign(o.bins, 0.0);
  for (const Quadrature& run : spectrum.runs) {
    for (size_t k = 0; k < run.nodes.size(); ++k) {
      for (int64_t i = 0; i < o.bins; ++i) {
        const double distance = spectrum.grid[i] - run.nodes[k];
        spectrum.density[i] += run.weights[k] * std::exp(-distance * distance / (2 * variance));
      }
    }
  }
  double sum = 0;
  for (double d : spectrum.density) sum += d * step;
  // Gaussians much narrower than the grid may fall between its points.
  for (double& d : spectrum.density) d = sum > 0 ? d / sum : 0;
}

void add_moments(Spectrum& spectrum) {
  spectrum.moments.assign(4, 0.0);
  for (const Quadrature& run : spectrum.runs) {
    for (size_t k = 0; k < run.nodes.size(); ++k) {
      double power = run.weights[k] / static_cast<double>(spectrum.runs.size());
      for (double& moment : spectrum.moments) moment += power *= run.nodes[k];
    }
  }
}

}  // namespace

std::vector<Spectrum> hessian_spectrum(const SpectrumOptions& o,
                                       const std::function<void(const SpectrumProgress&)>& progress) {
  validate(o);
  HessianOperator hessian(o.hessian);
  const int64_t members = o.hessian.params->rows();
  int64_t dimensions = 0;
  for (const ParameterRange& range : o.ranges) dimensions += range.end - range.begin;
  const int64_t steps = std::min(o.steps, dimensions), total = steps * o.runs;
  auto reported = std::chrono::steady_clock::time_point{};
  std::vector<Spectrum> results(members);
  for (int64_t m = 0; m < members; ++m) {
    hessian.select(m);
    for (int64_t first = 0; first < o.runs; first += o.block) {
      run_block(o, hessian, m, first, std::min(o.block, o.runs - first), steps, results[m], [&](int64_t done) {
        const auto now = std::chrono::steady_clock::now();
        if (!progress || now - reported < std::chrono::milliseconds(34)) return;
        reported = now;
        const int64_t step = first * steps + done;
        const double part = static_cast<double>(step) / static_cast<double>(total);
        progress({m, members, step, total, std::min((m + part) / members, 0.9999)});
      });
    }
    smooth(o, results[m]);
    add_moments(results[m]);
  }
  if (progress) progress({members - 1, members, total, total, 1.0});
  return results;
}

}  // namespace ptmz
