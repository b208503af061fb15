// The optimisers of one gradient per step, as torch.optim has them, over the flat vectors of many members in one fused
// pass. L-BFGS, which evaluates the loss itself, is in lbfgs.h.
#pragma once
#include <vector>

#include "backend/shared/optimiser_rules.h"
#include "solvers/batches.h"

namespace ptmz {

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
