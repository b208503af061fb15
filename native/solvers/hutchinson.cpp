// The loops of Hutchinson's estimate: members outermost, blocks of probes as a population, batches innermost.
#include "solvers/hutchinson.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "ir/error.h"

namespace ptmz {

namespace {

void draw_row(const HutchinsonOptions& o, int64_t member, int64_t probe, Vector& v, int64_t row) {
  if (o.vectors) {
    for (int64_t i = 0; i < v.size(); ++i) {
      const double x = read_real(*o.vectors, member * o.probes + probe, i);
      if (v.dtype() == DType::f32) {
        v.as<float>(row)[i] = static_cast<float>(x);
      } else {
        v.as<double>(row)[i] = x;
      }
    }
    return;
  }
  const ProbeKey key{o.seeds[member], o.stream, ProbeUse::trace, static_cast<uint32_t>(probe)};
  if (v.dtype() == DType::f32) {
    draw_probe(key, ProbeKind::signs, o.ranges, v.as<float>(row));
  } else {
    draw_probe(key, ProbeKind::signs, o.ranges, v.as<double>(row));
  }
}

// Samples up to where PyHessian stops; 0 where it goes on. Its rule: |mean_k - mean_(k-1)| / (mean_(k-1) + 1e-6).
size_t pyhessian_end(const std::vector<double>& samples, double rtol) {
  double mean = 0, sum = 0;
  for (size_t k = 0; k < samples.size(); ++k) {
    const double before = mean;
    sum += samples[k];
    mean = sum / static_cast<double>(k + 1);
    if (std::fabs(mean - before) / (before + 1e-6) < rtol) return k + 1;
  }
  return 0;
}

void update_mean(TraceEstimate& estimate) {
  const double k = static_cast<double>(estimate.samples.size());
  double sum = 0, squares = 0;
  for (double s : estimate.samples) sum += s;
  estimate.trace = sum / k;
  for (double s : estimate.samples) squares += (s - estimate.trace) * (s - estimate.trace);
  estimate.standard_error = k > 1 ? std::sqrt(squares / (k - 1) / k) : std::numeric_limits<double>::quiet_NaN();
}

// Whether a member needs no more probes; what came after the last one that counts is dropped.
bool finished(const HutchinsonOptions& o, TraceEstimate& estimate) {
  if (o.rtol <= 0) return false;
  if (o.stop == TraceStop::standard_error) return estimate.standard_error < o.rtol * std::fabs(estimate.trace);
  const size_t end = pyhessian_end(estimate.samples, o.rtol);
  if (end == 0) return false;
  estimate.samples.resize(end);
  update_mean(estimate);
  return true;
}

void validate(const HutchinsonOptions& o) {
  const auto expect = [](bool ok, const char* what) {
    if (!ok) throw Error("INVALID_ARGUMENT", std::string("hutchinson: ") + what);
  };
  check_probes(o.ranges, o.seeds, o.hessian.params);
  expect(o.probes >= 1 && o.block >= 1, "probes and block must be 1 or more");
  expect(!o.vectors || (o.vectors->rows() == o.hessian.params->rows() * o.probes &&
                        o.vectors->size() == o.hessian.params->size()),
         "vectors must be laid out as the parameters, with a row for each probe of each member");
}

}  // namespace

std::vector<TraceEstimate> hutchinson(const HutchinsonOptions& o,
                                      const std::function<void(const HutchinsonProgress&)>& progress) {
  validate(o);
  HessianOperator hessian(o.hessian);
  const int64_t members = o.hessian.params->rows(), n = hessian.size();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<TraceEstimate> estimates(members, {nan, nan, {}});
  std::vector<double> product;
  auto reported = std::chrono::steady_clock::time_point{};
  for (int64_t m = 0; m < members; ++m) {
    TraceEstimate& estimate = estimates[m];
    hessian.select(m);
    for (int64_t first = 0; first < o.probes; first += o.block) {
      Vector v(o.hessian.params->dtype(), std::min(o.block, o.probes - first), n);
      for (int64_t row = 0; row < v.rows(); ++row) draw_row(o, m, first + row, v, row);
      int64_t batches = 0;
      hessian.apply(v, product, [&] {
        ++batches;
        const auto now = std::chrono::steady_clock::now();
        if (!progress || now - reported < std::chrono::milliseconds(34)) return;
        reported = now;
        const double part = static_cast<double>(batches * v.rows()) / static_cast<double>(hessian.batches());
        progress({m, members, first, o.probes, (m + (first + part) / o.probes) / members, estimate.trace,
                  estimate.standard_error});
      });
      for (int64_t row = 0; row < v.rows(); ++row) {
        double sum = 0;
        for (int64_t i = 0; i < n; ++i) sum += read_real(v, row, i) * product[row * n + i];
        estimate.samples.push_back(sum);
      }
      update_mean(estimate);
      if (finished(o, estimate)) break;
    }
  }
  if (progress)
    progress({members - 1, members, o.probes, o.probes, 1.0, estimates.back().trace, estimates.back().standard_error});
  return estimates;
}

}  // namespace ptmz
