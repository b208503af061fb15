// Training steps of L-BFGS: an iteration of every member that is not done, on all samples.
#include <limits>
#include <optional>
#include <string>

#include "ir/error.h"
#include "solvers/train_steps.h"

namespace ptmz {
namespace {

class LbfgsSteps final : public TrainSteps {
 public:
  explicit LbfgsSteps(const TrainOptions& options);
  int64_t take(int64_t step, const std::vector<TrainBatch>& batches) override;
  bool done(int64_t m) const override { return lbfgs_.done(m); }

 private:
  double& state(int64_t m, StateColumn column) const { return o_.state->as<double>(m)[column]; }
  bool frozen(int64_t m) const { return state(m, kFrozenAt) >= 0; }
  void evaluate(int64_t step, const BatchProgram& program, const std::vector<int64_t>& who, Vector& points,
                std::vector<double>& losses);

  const TrainOptions& o_;
  const int64_t members_;
  const int threads_;
  Normaliser normaliser_;
  Lbfgs lbfgs_;
  std::optional<Vector> trial_buffers_;  // the buffers of the members under way
  int64_t samples_ = 0;
};

LbfgsSteps::LbfgsSteps(const TrainOptions& options)
    : o_(options),
      members_(options.params->rows()),
      threads_(options.run.threads > 0 ? options.run.threads : hardware_threads()),
      normaliser_(options.train),
      lbfgs_(options.lbfgs, LbfgsState{options.params, options.velocity, options.pairs, options.search}) {
  if (o_.buffers) trial_buffers_.emplace(o_.buffers->dtype(), members_, o_.buffers->size());
}

// Losses and gradients of the members `who` at the rows of `points`.
void LbfgsSteps::evaluate(int64_t step, const BatchProgram& program, const std::vector<int64_t>& who, Vector& points,
                          std::vector<double>& losses) {
  check_stop(o_, step);
  const int64_t count = static_cast<int64_t>(who.size());
  std::vector<Vector*> vectors = program.vectors;
  vectors.at(program.params) = &points;
  if (trial_buffers_ && program.buffers >= 0) vectors[program.buffers] = &*trial_buffers_;
  parallel_for(threads_, count, [&](int64_t r, int) {
    if (trial_buffers_) trial_buffers_->copy_row(r, *o_.buffers, who[r]);
    // The loss must stay the same function, so neither order nor random numbers change from step to step.
    load_batch(program, o_.train, normaliser_, nullptr, 0, r);
    write_key(program, r, o_.seeds[who[r]], 0, 0);
  });
  RunOptions run = o_.run;
  run.members = count;
  run.rows = members_;
  program.executor->run(vectors, run);
  samples_ += program.batch * count;
  for (int64_t r = 0; r < count; ++r) losses[r] = read_scalar(*program.at(program.loss), r);
}

int64_t LbfgsSteps::take(int64_t step, const std::vector<TrainBatch>&) {
  const BatchProgram& program = o_.batch.executor ? o_.batch : o_.tail;
  std::vector<int64_t> members;
  std::vector<double> lr(members_);
  for (int64_t m = 0; m < members_; ++m) {
    lr[m] = o_.lr->as<double>(m)[step];
    if (!frozen(m) && !done(m)) members.push_back(m);
  }
  samples_ = 0;
  const auto evaluate_at = [&](const std::vector<int64_t>& who, Vector& points, std::vector<double>& losses,
                               const Vector*& gradients) {
    evaluate(step, program, who, points, losses);
    gradients = program.at(program.grad);
  };
  for (const int64_t m : lbfgs_.iterate(members, lr, threads_, evaluate_at))
    state(m, kFrozenAt) = static_cast<double>(step);
  for (int64_t m = 0; m < members_; ++m) {
    if (frozen(m)) continue;
    state(m, kLossSum) += lbfgs_.scalar(m, kLbfgsLoss) * static_cast<double>(program.batch);
    state(m, kCorrectSum) = std::numeric_limits<double>::quiet_NaN();
    update_average(o_, step, m);
  }
  return samples_;
}

}  // namespace

std::unique_ptr<TrainSteps> lbfgs_steps(const TrainOptions& options) { return std::make_unique<LbfgsSteps>(options); }

}  // namespace ptmz
