// Hutchinson's estimate of a Hessian's trace: the mean of v^T H v over random sign vectors v, with its standard error.
#pragma once
#include "solvers/hessian.h"
#include "solvers/probe.h"

namespace ptmz {

// When a member has enough probes. standard_error: that of the mean is below rtol * |mean|, checked after each block.
// pyhessian: its mean moved by less than rtol, relative to the mean before plus 1e-6, without an absolute value: below
// a negative mean it stops after two probes, as that program does.
enum class TraceStop { standard_error, pyhessian };

struct HutchinsonOptions {
  HessianOptions hessian;
  // Where the parameters lie in the flat vector; probes are drawn by position within the parameters, padding is 0.
  std::vector<ParameterRange> ranges;
  std::vector<uint64_t> seeds;  // per member; probe k of a member depends on (its seed, stream, k) alone
  uint32_t stream = 0;
  int64_t probes = 100;  // at most
  int64_t block = 16;    // probes in one population
  TraceStop stop = TraceStop::standard_error;
  double rtol = 0;                  // 0: all probes
  const Vector* vectors = nullptr;  // (P * probes, n): the probes, member by member; null: random signs
};

struct TraceEstimate {
  double trace, standard_error;  // standard error: NaN for a single sample
  std::vector<double> samples;   // v^T H v, probe by probe
};

struct HutchinsonProgress {
  int64_t member, members, samples, probes;
  double fraction;  // of the work if no member stops early
  double trace, standard_error;
};

std::vector<TraceEstimate> hutchinson(const HutchinsonOptions& options,
                                      const std::function<void(const HutchinsonProgress&)>& progress);

}  // namespace ptmz
