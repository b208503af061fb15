// Evaluation of a population: one pass over a dataset.
#include "solvers/evaluate.h"

#include <limits>

#include "ir/error.h"

namespace ptmz {

Evaluation evaluate(const EvaluateOptions& options, BatchRunner& batches,
                    const std::function<void(int64_t)>& progress) {
  check_batches(options.batch, options.tail, options.data, 1);
  bool answers = true;  // whether all programs count right ones
  for (const BatchProgram* program : {&options.batch, &options.tail}) {
    if (!program->executor) continue;
    if (!program->at(program->loss)) throw Error("INVALID_ARGUMENT", "evaluation: the program needs an output loss");
    answers = answers && program->at(program->correct);
  }
  RunOptions run = options.run;
  run.members = options.members;
  Vector sums(DType::f64, options.members, 2, batches.device());  // of losses and of right answers
  for_each_batch(options.batch, options.tail, options.data.count, [&](const BatchProgram& program, int64_t first) {
    if (run.stop && run.stop->load()) throw Error("ABORTED", "evaluation aborted");
    std::vector<Addition> additions{{program.at(program.loss), static_cast<double>(program.batch), &sums, 0}};
    if (answers) additions.push_back({program.at(program.correct), 1.0, &sums, 1});
    batches.run(program, program.vectors, first, run, additions);
    if (progress) progress(first + program.batch);
  });
  const std::vector<double> totals = batches.read(sums);
  const double count = static_cast<double>(options.data.count);
  Evaluation result;
  for (int64_t m = 0; m < options.members; ++m) {
    result.loss.push_back(totals[2 * m] / count);
    result.accuracy.push_back(answers ? totals[2 * m + 1] / count : std::numeric_limits<double>::quiet_NaN());
  }
  return result;
}

Evaluation evaluate(const EvaluateOptions& options, const std::function<void(int64_t)>& progress) {
  return evaluate(options, *open_batches(options.data, device_of(options.batch, options.tail)), progress);
}

}  // namespace ptmz
