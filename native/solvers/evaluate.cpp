// Evaluation of a population: one pass over a dataset.
#include "solvers/evaluate.h"

#include <limits>

#include "ir/error.h"

namespace ptmz {

Evaluation evaluate(const EvaluateOptions& options, const std::function<void(int64_t)>& progress) {
  check_batches(options.batch, options.tail, options.data, 1);
  for (const BatchProgram* program : {&options.batch, &options.tail}) {
    if (program->executor && !program->at(program->loss))
      throw Error("INVALID_ARGUMENT", "evaluation: the program needs an output loss");
  }
  const Normaliser normaliser(options.data);
  RunOptions run = options.run;
  run.members = options.members;
  Evaluation sums{std::vector<double>(options.members), std::vector<double>(options.members)};
  for_each_batch(options.batch, options.tail, options.data.count, [&](const BatchProgram& program, int64_t first) {
    if (run.stop && run.stop->load()) throw Error("ABORTED", "evaluation aborted");
    load_batch(program, options.data, normaliser, nullptr, first, 0);
    program.executor->run(program.vectors, run);
    for (int64_t m = 0; m < options.members; ++m) {
      sums.loss[m] += read_scalar(*program.at(program.loss), m) * static_cast<double>(program.batch);
      const Vector* correct = program.at(program.correct);
      sums.accuracy[m] += correct ? read_scalar(*correct, m) : std::numeric_limits<double>::quiet_NaN();
    }
    if (progress) progress(first + program.batch);
  });
  for (int64_t m = 0; m < options.members; ++m) {
    sums.loss[m] /= static_cast<double>(options.data.count);
    sums.accuracy[m] /= static_cast<double>(options.data.count);
  }
  return sums;
}

}  // namespace ptmz
