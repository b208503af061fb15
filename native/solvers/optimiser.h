// The optimisers of one gradient per step, as torch.optim has them, over the flat vectors of many members in one fused
// pass. L-BFGS, which evaluates the loss itself, is in lbfgs.h.
#pragma once
#include <vector>

#include "solvers/batches.h"

namespace ptmz {

// sgd      first = momentum * first + g'; p -= lr * first, or Nesterov's lr * (g' + momentum * first), where
//          g' = g + decay * p
// adam     first and second are moving averages of g' and g'^2;
//          p -= lr * first / (1 - beta1^t) / (sqrt(second / (1 - beta2^t)) + eps)   (Kingma and Ba 2015, algorithm 1)
// adamw    the same of g itself, after p -= lr * decay * p                 (Loshchilov and Hutter 2019, algorithm 2)
// rmsprop  second is a moving average of g'^2 with weight beta2; first = momentum * first + g' / (sqrt(second) + eps);
//          p -= lr * first
// In all of them g is the gradient times OptimiserStep::scale.
enum class OptimiserKind { sgd, adam, adamw, rmsprop, lbfgs };
inline bool has_second_moment(OptimiserKind kind) {
  return kind == OptimiserKind::adam || kind == OptimiserKind::adamw || kind == OptimiserKind::rmsprop;
}

struct OptimiserOptions {
  OptimiserKind kind = OptimiserKind::sgd;
  bool nesterov = false;             // sgd
  double beta2 = 0.999, eps = 1e-8;  // of those with a second moment
};

// One step of one member. momentum: that of SGD and RMSprop, or beta1. count: steps including this one, from 1.
struct OptimiserStep {
  double lr, momentum, decay;
  int64_t count;
  double scale = 1;
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
