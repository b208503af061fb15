// Evaluation: mean loss and accuracy of every member over a whole dataset, in evaluation mode.
#pragma once
#include <functional>

#include "solvers/batch_runner.h"

namespace ptmz {

struct EvaluateOptions {
  BatchProgram batch, tail;  // x and y shared by all members; outputs loss and correct
  Dataset data;
  int64_t members = 1;
  RunOptions run;  // threads, memory_limit, stop; members is set here
};
struct Evaluation {
  std::vector<double> loss, accuracy;  // per member
};
// `progress(samples done)` is called after every batch, of a device as soon as it was given. Throws ABORTED when
// run.stop is set. `batches`: those of options.data, where they were opened before.
Evaluation evaluate(const EvaluateOptions& options, BatchRunner& batches,
                    const std::function<void(int64_t)>& progress = nullptr);
Evaluation evaluate(const EvaluateOptions& options, const std::function<void(int64_t)>& progress = nullptr);

}  // namespace ptmz
