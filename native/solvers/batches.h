// BatchProgram: a program compiled for one batch size with the vectors of its slots, and the walk over a dataset in it.
#pragma once
#include <vector>

#include "runtime/executor.h"
#include "solvers/dataset.h"

namespace ptmz {

struct BatchProgram {
  Executor* executor = nullptr;  // null: no such batch
  std::vector<Vector*> vectors;  // by slot
  int64_t batch = 0;
  // Slots, -1 where the program has none, or does not read it. x (B,C,H,W) real, y (B) index, of text x and y (B,T)
  // index; key (4) index; loss, correct (1): the batch's mean loss and its number of right answers, of text over T;
  // grad, next_buffers: laid out as the parameters and the buffers.
  int x = -1, y = -1, key = -1, loss = -1, correct = -1, grad = -1, next_buffers = -1;
  // Hessian-vector programs: v and hv, laid out as the parameters; params and buffers hold one member at a time.
  int params = -1, buffers = -1, v = -1, hv = -1;
  // The vector of a slot; null for -1.
  Vector* at(int slot) const { return slot < 0 ? nullptr : vectors[slot]; }
};

// Parameters [begin, end) of the flat vector, and whether weight decay pulls on them. Between ranges lies padding.
struct ParameterRange {
  int64_t begin, end;
  bool decays;
};

// Throws INVALID_ARGUMENT unless the two programs cut `count` samples into whole batches and a fitting last one, and
// their x and y, where they read them, have `rows` rows of the dataset's size.
void check_batches(const BatchProgram& batch, const BatchProgram& tail, const Dataset& data, int64_t rows);

// Samples [first, first + program.batch) of `order` (null: as stored) into row `row` of x and y, augmented unless that
// is null.
void load_batch(const BatchProgram& program, const Dataset& data, const Normaliser& normaliser, const int32_t* order,
                int64_t first, int64_t row, const Augmentation* augmentation = nullptr);

inline double read_real(const Vector& vector, int64_t row, int64_t i = 0) {
  return vector.dtype() == DType::f32 ? vector.as<float>(row)[i] : vector.as<double>(row)[i];
}
// A member's one number; an output that depends on nothing of its own has a single row for all.
inline double read_scalar(const Vector& vector, int64_t member) {
  return read_real(vector, vector.rows() == 1 ? 0 : member);
}

// Calls visit(program, first) for every batch of `count` samples, the partial one last.
template <typename Visit>
void for_each_batch(const BatchProgram& batch, const BatchProgram& tail, int64_t count, const Visit& visit) {
  int64_t first = 0;
  for (; batch.batch > 0 && first + batch.batch <= count; first += batch.batch) visit(batch, first);
  if (first < count) visit(tail, first);
}

}  // namespace ptmz
