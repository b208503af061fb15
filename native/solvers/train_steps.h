// TrainSteps: what one step of a training does to all members, where their numbers lie. The loop around it - epochs,
// evaluation, history, progress - is train.cpp's, and there is one.
#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "ir/error.h"
#include "solvers/train.h"

namespace ptmz {

// A batch of a step.
struct TrainBatch {
  const BatchProgram* program;
  int64_t epoch, number;  // the batch's, for its order and its random numbers
  int64_t first;          // its first sample, in a member's order
  double weight;          // of its gradient in that of the step
};

class TrainSteps {
 public:
  virtual ~TrainSteps() = default;
  // Takes step number `step` on the gradients of `batches`; returns the samples that all members saw. The columns
  // kLossSum, kCorrectSum and kFrozenAt of the state move on with it, kStep and kEpochs are the caller's. If it throws,
  // no member has moved.
  virtual int64_t take(int64_t step, const std::vector<TrainBatch>& batches) = 0;
  // Whether a member needs no more steps.
  virtual bool done(int64_t) const { return false; }
  // The state of the options is that of the steps taken only after read_state(), and what is written to it counts only
  // after write_state().
  virtual void read_state() {}
  virtual void write_state() {}
  // How often reading the state costs nothing that matters.
  virtual std::chrono::milliseconds report_interval() const { return std::chrono::milliseconds(34); }
};

// One update per step, on the CPU and on the device of the programs; and L-BFGS, whose own vectors are the host's.
std::unique_ptr<TrainSteps> cpu_steps(const TrainOptions& options);
std::unique_ptr<TrainSteps> device_steps(const TrainOptions& options, const Device& device);
std::unique_ptr<TrainSteps> lbfgs_steps(const TrainOptions& options);

// Every member's own samples, and the key of the random numbers in the graph: (seed, epoch, number of the batch).
inline void write_key(const BatchProgram& program, int64_t row, uint64_t seed, int64_t epoch, int64_t number) {
  const Vector* key = program.at(program.key);
  if (!key) return;
  const uint64_t words[4] = {seed, seed >> 32, static_cast<uint64_t>(epoch), static_cast<uint64_t>(number)};
  for (int i = 0; i < 4; ++i) key->as<int32_t>(row)[i] = static_cast<int32_t>(static_cast<uint32_t>(words[i]));
}

// Throws ABORTED where the job is to stop; `step`: steps finished.
inline void check_stop(const TrainOptions& o, int64_t step) {
  if (o.run.stop && o.run.stop->load()) throw Error("ABORTED", "training aborted after step " + std::to_string(step));
}

// average += (1 - decay) (parameters - average); the first step copies them (torch.optim.swa_utils.AveragedModel).
void update_average(const TrainOptions& options, int64_t step, int64_t m);

}  // namespace ptmz
