// StepTask: one kernel of the work around a program - loading a batch, adding up results, the optimiser's step - as
// plain data. The addresses are a device's; "(P,n)" is a matrix with a row for each member.
#pragma once
#include "backend/launch.h"
#include "backend/shared/optimiser_rules.h"
#include "backend/shared/random_ops.h"

namespace ptmz {

enum class StepCode : int32_t {
  set_place,     // *place = next_place
  shuffle,       // order = that of the epoch in next_place
  draw_images,   // draws: the augmentation of every image of the batch
  recolour,      // coloured: images whose pixels are moved and their colours changed
  load_images,   // x, augmented, normalised, a part of it erased
  load_tokens,   // x and y
  load_labels,   // y and key
  add_rows,      // sums += weight * rows
  accept,        // takes the batch's loss and right answers; members with bad numbers are alive no longer
  add_gradient,  // gradient_sum += weight of the place * gradient, of those alive
  norm_parts,    // squares of the gradient, in parts
  make_rules,    // the optimiser's factors of this step
  check_update,  // members whose numbers would not stay finite are alive no longer
  update,        // of those alive
  keep,          // to = from, of those alive
  restore,       // to = from, of those that end with this step
  average,       // to += average_part * (from - to), of those alive; the first step copies
  freeze,        // marks those that end with this step
  count
};
const char* name(StepCode code);

// What changes from batch to batch. It lies in device memory, so that all else can be recorded once and replayed.
struct StepPlace {
  int64_t epoch, number;  // of the batch: the last two words of its random numbers
  int64_t first;          // its first sample, in the member's order
  int64_t step;           // the optimiser's
  double weight;          // of the batch's gradient in the step
  bool begins_step;
};

// What is drawn for one image of a batch.
struct ImageDraw {
  PixelWalk walk;
  Rectangle erased;
};

struct StepRows {
  void* data = nullptr;   // null: there are none
  int64_t row_bytes = 0;  // 0: one row for all members
};

// A piece of the parameters: elements [begin, begin + count), at most kStepPiece of them.
inline constexpr int64_t kStepPiece = 1024;
struct StepPiece {
  int64_t begin;
  int32_t count, decays;
};

inline constexpr int64_t kNormPart = 4096;  // elements of a gradient whose squares make one part
inline constexpr int64_t kRuleBytes = 128;  // room for any rule of optimiser_rules.h
inline constexpr int64_t kStateRow = 5;     // columns of `state`: StateColumn of solvers/train.h
inline constexpr int kStateLoss = 2, kStateCorrect = 3, kStateFrozenAt = 4;

struct StepTask {
  StepCode code;
  DType real;
  int64_t members;
  int64_t count;  // elements of a row, where threads share one
  StepPlace* place;
  StepPlace next_place;

  // Samples: solvers/dataset.h. `order` (P,N); null: as stored. `table` (C,256) in real: what bytes become.
  const void* samples;
  const int32_t* labels;
  DType stored;
  int64_t sample_count, channels, plane, window, stride, batch;
  int64_t member_samples;  // without an order: from the first sample of a member to that of the next
  const void* table;
  const double *mean, *deviation;  // per channel
  int32_t* order;
  const uint64_t* seeds;
  AugmentOptions augment;
  RandomOps ops;
  const double* fill;  // per channel: what erasing leaves
  ImageDraw* draws;    // (P,B); null: images as they are
  uint8_t* coloured;   // (P,B,2,C,H,W), the second one room of the first; null: colours as they are
  StepRows x, y, key;

  // Sums and moves of rows.
  StepRows to, from;
  double weight;
  int64_t column;  // of `to`, where rows are added
  double average_part;

  // A step. state (P,5) float64, alive (P) int32, pieces (count), rules (P,2): without and with weight decay.
  StepRows params, first, second, gradient, loss, correct, next_buffers;
  int64_t buffer_count;
  double* state;
  int32_t* alive;
  const StepPiece* pieces;
  char* rules;
  double* norms;  // (P, norm_count)
  int64_t norm_count;
  double clip;
  OptimiserOptions optimiser;
  const double *lr, *momentum, *weight_decay;  // (P, steps), (steps), (P)
  int64_t steps;
};

}  // namespace ptmz
