// Lbfgs: limited-memory BFGS (Liu and Nocedal 1989) as torch.optim.LBFGS has it, for many members side by side.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "runtime/vector.h"
#include "solvers/lbfgs_pairs.h"

namespace ptmz {

struct LbfgsOptions {
  int64_t history = 100;           // pairs (s, y) that approximate the Hessian
  double tolerance_grad = 1e-7;    // a member is done when its largest |g_i| is not above this
  double tolerance_change = 1e-9;  // or its step, change of the loss or slope along the direction is below this
  int64_t evaluations = 25;        // of a line search, beside the first
};

// All that an iteration leaves for the next one, owned by the caller.
struct LbfgsState {
  Vector* params = nullptr;    // (P,n)
  Vector* gradient = nullptr;  // (P,n): at the parameters
  Vector* pairs = nullptr;     // (P, 2 history n): by place s (n), y (n)
  Vector* scalars = nullptr;   // (P, kLbfgsColumns + history) float64
};

class Lbfgs {
 public:
  // Puts loss and gradient of `members` at rows 0, 1, ... of `points` into those rows of losses and of `gradients`.
  using Evaluate = std::function<void(const std::vector<int64_t>& members, Vector& points, std::vector<double>& losses,
                                      const Vector*& gradients)>;
  // Throws INVALID_ARGUMENT where layouts differ.
  Lbfgs(const LbfgsOptions& options, const LbfgsState& state);

  double scalar(int64_t m, LbfgsColumn column) const { return row(m)[column]; }
  bool done(int64_t m) const { return scalar(m, kLbfgsDone) != 0; }

  // One iteration of every member in `members`: a direction, a line search, the step. lr (per member of the
  // population): the first trial step, as torch has it. Nothing moves where loss or gradient turn not finite; those
  // members are returned. If `evaluate` throws, no member has moved.
  std::vector<int64_t> iterate(const std::vector<int64_t>& members, const std::vector<double>& lr, int threads,
                               const Evaluate& evaluate);

 private:
  double* row(int64_t m) const { return state_.scalars->as<double>(m); }
  template <typename T>
  LbfgsPairs<T> pairs_of(int64_t m);

  LbfgsOptions options_;
  LbfgsState state_;
  Vector trial_, direction_;            // (P,n)
  std::vector<PairProducts> products_;  // by member
};

}  // namespace ptmz
