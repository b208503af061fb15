// The optimisers, SGD and AdamW as torch.optim has them, over the flat vectors of many members in one fused pass.
#pragma once
#include <vector>

#include "solvers/batches.h"

namespace ptmz {

// sgd: first = momentum * first + (g + decay * p); p -= lr * first, or Nesterov's lr * (g + decay * p + momentum *
// first) adamw (Loshchilov and Hutter 2019, algorithm 2): p -= lr * decay * p; first and second are moving averages of
// g and
//   g^2; p -= lr * first / (1 - beta1^t) / (sqrt(second / (1 - beta2^t)) + eps)
enum class OptimiserKind { sgd, adamw };

struct OptimiserOptions {
  OptimiserKind kind = OptimiserKind::sgd;
  bool nesterov = false;             // sgd
  double beta2 = 0.999, eps = 1e-8;  // adamw
};

// One step of one member. momentum: that of SGD, or AdamW's beta1. count: steps including this one, from 1.
struct OptimiserStep {
  double lr, momentum, decay;
  int64_t count;
};

class Optimiser {
 public:
  // params, first, second (P,n), all of one dtype; second is null for SGD. Elements outside `ranges` (padding) are left
  // alone. Throws INVALID_ARGUMENT where layouts differ.
  Optimiser(const OptimiserOptions& options, Vector& params, Vector& first, Vector* second,
            const std::vector<ParameterRange>& ranges);
  // Whether every member's state would stay finite after the step; members with alive[m] false stay false.
  void check(const Vector& grad, const std::vector<OptimiserStep>& steps, int threads, std::vector<char>& alive) const;
  // Applies the step to the members that are alive.
  void apply(const Vector& grad, const std::vector<OptimiserStep>& steps, int threads, const std::vector<char>& alive);

 private:
  template <typename F>
  void for_each_block(const Vector& grad, const std::vector<OptimiserStep>& steps, int threads,
                      const std::vector<char>& alive, const F& f) const;

  OptimiserOptions options_;
  Vector &params_, &first_;
  Vector* second_;
  std::vector<ParameterRange> blocks_;  // fixed pieces of work
};

}  // namespace ptmz
