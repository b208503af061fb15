// PointLosses: loss and gradient of members at points in parameter space, on the CPU or on the device of the program.
#pragma once
#include <memory>
#include <vector>

#include "solvers/train.h"

namespace ptmz {

class PointLosses {
 public:
  virtual ~PointLosses() = default;
  // Loss and gradient of members `who` at rows 0, 1, ... of `points`, of the host, on all samples; the gradients, too,
  // are rows of a vector of the host. The loss is the same function in every call: samples as they are stored, random
  // numbers of epoch and batch 0.
  virtual const Vector& evaluate(const std::vector<int64_t>& who, Vector& points, std::vector<double>& losses) = 0;
};

// Over the program that takes all samples, with the buffers of `options` as they are.
std::unique_ptr<PointLosses> cpu_point_losses(const TrainOptions& options);
std::unique_ptr<PointLosses> device_point_losses(const TrainOptions& options, const Device& device);

inline const BatchProgram& program_of_all_samples(const TrainOptions& o) { return o.batch.executor ? o.batch : o.tail; }

}  // namespace ptmz
