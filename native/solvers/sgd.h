// SGD with momentum, weight decay and Nesterov's form as torch.optim.SGD, over the flat vectors of many members.
#pragma once
#include <vector>

#include "solvers/batches.h"

namespace ptmz {

// One step of one member: buffer = momentum * buffer + (g + decay * p); p -= lr * buffer.
struct SgdStep {
  double lr, momentum, decay;
};

class Sgd {
 public:
  // params, velocity, grad (P,n), all of one dtype. Elements outside `ranges` (padding) are left alone.
  Sgd(Vector& params, Vector& velocity, const std::vector<ParameterRange>& ranges, bool nesterov);
  // Whether every member's state would stay finite after the step; members with alive[m] false stay false.
  void check(const Vector& grad, const std::vector<SgdStep>& steps, int threads, std::vector<char>& alive) const;
  // Applies the step to the members that are alive.
  void apply(const Vector& grad, const std::vector<SgdStep>& steps, int threads, const std::vector<char>& alive);

 private:
  Vector &params_, &velocity_;
  std::vector<ParameterRange> blocks_;  // fixed pieces of work
  bool nesterov_;
};

}  // namespace ptmz
