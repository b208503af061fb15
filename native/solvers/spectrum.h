// The density of each member's Hessian spectrum by stochastic Lanczos quadrature.
#pragma once
#include "solvers/hessian.h"
#include "solvers/probe.h"

namespace ptmz {

struct SpectrumOptions {
  HessianOptions hessian;
  std::vector<ParameterRange> ranges;
  std::vector<uint64_t> seeds;  // per member; run k of a member depends on (its seed, stream, k) alone
  uint32_t stream = 0;
  const Vector* start = nullptr;  // (P * runs, n): the starts, member by member; null: random signs
  int64_t runs = 1;
  int64_t steps = 100;  // of Lanczos, at most: a run ends where its Krylov space does
  int64_t block = 4;    // runs that are one population
  int64_t bins = 10000;
  double sigma = 0;      // of the Gaussians; 0: sqrt(1e-5 max(1, width of the grid))
  double margin = 0.01;  // of the grid beyond the extreme nodes
};

// One run: T and its quadrature, v^T f(H) v / v^T v = sum_i weights_i f(nodes_i) (Golub and Welsch 1969).
struct Quadrature {
  std::vector<double> alpha, beta;  // the diagonal of T (m) and what is below it (m - 1)
  std::vector<double> nodes, weights;
};

struct Spectrum {
  std::vector<Quadrature> runs;
  std::vector<double> grid, density;  // the density integrates to 1 over the grid, by the rectangle rule
  std::vector<double> moments;        // of order 1 to 4, mean over runs: trace(H^k) / n
};

struct SpectrumProgress {
  int64_t member, members, step, steps;  // Hessian-vector products of this member
  double fraction;                       // of the work if no run ends early
};

// Ubaru, Chen and Saad 2017, algorithm 3.1; Ghorbani, Krishnan and Xiao 2019 for Hessians of networks.
std::vector<Spectrum> hessian_spectrum(const SpectrumOptions& options,
                                       const std::function<void(const SpectrumProgress&)>& progress);

}  // namespace ptmz
