// Checking of batch programs against a dataset, and loading of batches.
#include "solvers/batches.h"

#include <algorithm>
#include <string>

#include "ir/error.h"

namespace ptmz {

namespace {

void check_program(const BatchProgram& program, const Dataset& data, int64_t rows) {
  const auto fail = [](const std::string& what) { throw Error("INVALID_ARGUMENT", "batch program: " + what); };
  const int slots = static_cast<int>(program.vectors.size());
  for (int slot : {program.x, program.y, program.key, program.loss, program.correct, program.grad, program.next_buffers,
                   program.params, program.buffers, program.v, program.hv}) {
    if (slot >= slots) fail("a slot number is out of range");
  }
  const Vector* x = program.at(program.x);
  const Vector* y = program.at(program.y);
  if ((x && x->rows() != rows) || (y && y->rows() != rows)) fail("x and y need " + std::to_string(rows) + " rows");
  if (x && x->size() != program.batch * data.sample_size()) fail("the size of x does not fit batch and samples");
  const bool text = data.window > 0;
  if ((x || y) && !data.loads()) fail("it reads samples and there are none");
  if (x && text && x->dtype() != DType::i32) fail("x must be int32, as tokens are");
  if (x && !text && x->dtype() != DType::f32 && x->dtype() != DType::f64) fail("x must be float32 or float64");
  if (y && (y->size() != program.batch * data.labels_per_sample() || y->dtype() != DType::i32))
    fail("y needs one int32 per label of the batch");
}

}  // namespace

void check_batches(const BatchProgram& batch, const BatchProgram& tail, const Dataset& data, int64_t rows) {
  if (batch.executor && batch.batch < 1)
    throw Error("INVALID_ARGUMENT", "batch program: expected a batch of 1 or more");
  if (batch.executor) check_program(batch, data, rows);
  const int64_t rest = batch.executor ? data.count % batch.batch : data.count;
  if (rest != (tail.executor ? tail.batch : 0)) {
    throw Error("INVALID_ARGUMENT", "batch program: expected a tail program for " + std::to_string(rest) + " samples");
  }
  if (tail.executor) check_program(tail, data, rows);
}

namespace {

void load_windows(const BatchProgram& program, const Dataset& data, const int32_t* order, int64_t first, int64_t row) {
  std::vector<int32_t> read(data.file ? data.window + 1 : 0);
  for (int64_t i = 0; i < program.batch; ++i) {
    const int64_t sample = order ? order[first + i] : first + i;
    if (data.file) data.file->read(sample * data.stride, data.window + 1, read.data());
    const int32_t* begin = data.file ? read.data() : data.resident->as<int32_t>() + sample * data.stride;
    for (int further : {0, 1}) {
      const Vector* target = program.at(further ? program.y : program.x);
      if (target) std::copy_n(begin + further, data.window, target->as<int32_t>(row) + i * data.window);
    }
  }
}

}  // namespace

void load_batch(const BatchProgram& program, const Dataset& data, const Normaliser& normaliser, const int32_t* order,
                int64_t first, int64_t row, const Augmentation* augmentation) {
  if (!data.loads()) return;
  if (data.window > 0) return load_windows(program, data, order, first, row);
  const Vector* x = program.at(program.x);
  if (x && x->dtype() == DType::f32) normaliser.gather(order, first, program.batch, x->as<float>(row), augmentation);
  if (x && x->dtype() == DType::f64) normaliser.gather(order, first, program.batch, x->as<double>(row), augmentation);
  if (program.y < 0) return;
  const int32_t* labels = data.labels->as<int32_t>();
  int32_t* y = program.at(program.y)->as<int32_t>(row);
  for (int64_t i = 0; i < program.batch; ++i) y[i] = labels[order ? order[first + i] : first + i];
}

}  // namespace ptmz
