// The loops of Hutchinson's estimate: members outermost, blocks of probes as a population, batches innermost.
#include "solvers/hutchinson.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "backend/shared/philox.h"
#include "ir/error.h"

namespace ptmz {

namespace {

template <typename T>
void draw_signs(const RandomKey& key, const std::vector<ParameterRange>& ranges, T* v) {
  uint64_t index = 0;
  for (const ParameterRange& range : ranges) {
    for (int64_t i = range.begin; i < range.end; ++i) v[i] = static_cast<T>(random_rademacher(key, index++));
  }
}

void draw_probe(const HutchinsonOptions& o, int64_t member, int64_t probe, Vector& v, int64_t row) {
  const uint64_t seed = o.seeds[member];
  const RandomKey key{static_cast<uint32_t>(seed),
                      static_cast<uint32_t>(seed >> 32),
                      static_cast<uint32_t>(Purpose::probe),
                      o.stream,
                      0,
                      static_cast<uint32_t>(probe)};
  if (v.dtype() == DType::f32) {
    draw_signs(key, o.ranges, v.as<float>(row));
  } else {
    draw_signs(key, o.ranges, v.as<double>(row));
  }
}

void update_mean(TraceEstimate& estimate) {
  const double k = static_cast<double>(estimate.samples.size());
  double sum = 0, squares = 0;
  for (double s : estimate.samples) sum += s;
  estimate.trace = sum / k;
  for (double s : estimate.samples) squares += (s - estimate.trace) * (s - estimate.trace);
  estimate.standard_error = k > 1 ? std::sqrt(squares / (k - 1) / k) : std::numeric_limits<double>::quiet_NaN();
}

void validate(const HutchinsonOptions& o) {
  const auto expect = [](bool ok, const char* what) {
    if (!ok) throw Error("INVALID_ARGUMENT", std::string("hutchinson: ") + what);
  };
  expect(o.hessian.params, "expected params");
  expect(static_cast<int64_t>(o.seeds.size()) == o.hessian.params->rows(), "expected one seed per member");
  expect(o.probes >= 1 && o.block >= 1, "probes and block must be 1 or more");
  for (const ParameterRange& range : o.ranges) {
    expect(range.begin >= 0 && range.begin <= range.end && range.end <= o.hessian.params->size(),
           "a range lies outside the parameters");
  }
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
      for (int64_t row = 0; row < v.rows(); ++row) draw_probe(o, m, first + row, v, row);
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
      if (o.rtol > 0 && estimate.standard_error < o.rtol * std::fabs(estimate.trace)) break;
    }
  }
  if (progress)
    progress({members - 1, members, o.probes, o.probes, 1.0, estimates.back().trace, estimates.back().standard_error});
  return estimates;
}

}  // namespace ptmz
