// Training: whole epochs of a population in one call. All state lives in the vectors given, so a run that is stopped
// at any moment holds whole steps and goes on from there bit for bit.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "solvers/batches.h"
#include "solvers/evaluate.h"
#include "solvers/lbfgs.h"
#include "solvers/optimiser.h"

namespace ptmz {

// Columns of TrainOptions::state, one row per member.
enum StateColumn : int {
  kStep,     // optimiser steps finished (equal in all rows)
  kEpochs,   // epochs finished, their evaluation included (equal in all rows)
  kLossSum,  // over the samples of the current epoch
  kCorrectSum,
  kFrozenAt,  // step whose loss, gradient or update was not finite; -1 while the member is well
  kStateColumns
};
// Columns of TrainOptions::history per member: row = epoch, column = member * kHistoryColumns + one of these.
enum HistoryColumn : int { kTrainLoss, kTrainAccuracy, kTestLoss, kTestAccuracy, kHistoryColumns };

struct TrainOptions {
  BatchProgram batch, tail;  // training mode; x, y, key with one row per member; loss, correct, grad, next_buffers
  Dataset train;
  EvaluateOptions test;  // without programs: no evaluation
  // Parameters and buffers lie where the programs run. So do the other rows of (P,n), but those of L-BFGS: these and
  // the average beside it are the host's, as state and history are.
  Vector* params = nullptr;         // (P,n)
  Vector* velocity = nullptr;       // (P,n): momentum buffer, first moment; of L-BFGS the gradient at the parameters
  Vector* second_moment = nullptr;  // (P,n) for optimisers that have one, or null
  Vector* pairs = nullptr;          // of L-BFGS (see LbfgsState), or null
  Vector* search = nullptr;         // its scalars
  Vector* average = nullptr;        // (P,n): moving average of the parameters, or null
  Vector* buffers = nullptr;        // (P,b); null where the model has none
  Vector* state = nullptr;          // (P, kStateColumns) float64
  Vector* history = nullptr;        // (epochs, P * kHistoryColumns) float64
  std::vector<ParameterRange> ranges;
  std::vector<uint64_t> seeds;       // per member: data order and random numbers of the graph
  std::vector<double> weight_decay;  // per member
  const Vector* lr = nullptr;        // (P, steps) float64
  const Vector* momentum = nullptr;  // (1, steps) float64: of SGD and RMSprop, or beta1
  OptimiserOptions optimiser;
  LbfgsOptions lbfgs;
  double clip = 0;           // largest norm of a member's gradient; 0: any
  double average_decay = 0;  // of `average`
  int64_t accumulate = 1;    // batches whose gradients make one step
  // How the published zoos accumulated: batches that are left over at the end of an epoch go into the first step of the
  // next one, every batch has weight 1 / accumulate, and the losses of the history are divided by it too.
  bool carry_leftover = false;
  AugmentOptions augment;
  bool shuffle = true;                      // false: samples in the order in which they are stored
  int64_t classes = 1, evaluate_every = 1;  // epochs; the last epoch is always evaluated
  int64_t step_limit = INT64_MAX;           // steps after which it returns; an epoch's end is still recorded
  RunOptions run;                           // threads, memory_limit, stop
};

struct TrainProgress {
  int64_t epoch, epochs, step, steps;  // epoch: the one under way, from 0; step: steps finished
  bool evaluating;
  double lr, samples_per_second;       // lr: of the first member; samples of all members together
  std::vector<double> loss, accuracy;  // per member, over the epoch so far
  std::vector<double> last;            // history row of the last finished epoch; empty before the first
};

struct TrainResult {
  int64_t steps = 0, epochs = 0;
  double seconds = 0, samples_per_second = 0;
};

// Throws INVALID_ARGUMENT, INDEX_OUT_OF_RANGE, OUT_OF_MEMORY; ABORTED leaves the last whole step.
TrainResult train(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress);

}  // namespace ptmz
