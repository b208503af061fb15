// Training steps of L-BFGS: an iteration of every member that is not done, on all samples. Its vectors are the host's;
// parameters that lie on a device have a copy here, and get back what has moved.
#include <limits>
#include <optional>

#include "solvers/point_losses.h"
#include "solvers/train_steps.h"

namespace ptmz {
namespace {

class LbfgsSteps final : public TrainSteps {
 public:
  explicit LbfgsSteps(const TrainOptions& options);
  int64_t take(int64_t step, const std::vector<TrainBatch>& batches) override;
  bool done(int64_t m) const override { return lbfgs_->done(m); }

 private:
  double& state(int64_t m, StateColumn column) const { return o_.state->as<double>(m)[column]; }
  bool frozen(int64_t m) const { return state(m, kFrozenAt) >= 0; }

  TrainOptions o_;  // with the parameters here
  Vector* const params_;
  const int64_t members_;
  const int threads_;
  std::optional<Vector> copy_;
  std::unique_ptr<PointLosses> losses_;
  std::optional<Lbfgs> lbfgs_;
};

LbfgsSteps::LbfgsSteps(const TrainOptions& options)
    : o_(options),
      params_(options.params),
      members_(options.params->rows()),
      threads_(options.run.threads > 0 ? options.run.threads : hardware_threads()) {
  const Device* device = params_->device();
  if (device) {
    copy_.emplace(params_->dtype(), members_, params_->size());
    for (int64_t m = 0; m < members_; ++m) copy_->copy_row(m, *params_, m);
    o_.params = &*copy_;
  }
  losses_ = device ? device_point_losses(o_, *device) : cpu_point_losses(o_);
  lbfgs_.emplace(o_.lbfgs, LbfgsState{o_.params, o_.velocity, o_.pairs, o_.search});
}

int64_t LbfgsSteps::take(int64_t step, const std::vector<TrainBatch>&) {
  const int64_t batch = program_of_all_samples(o_).batch;
  std::vector<int64_t> members;
  std::vector<double> lr(members_);
  for (int64_t m = 0; m < members_; ++m) {
    lr[m] = o_.lr->as<double>(m)[step];
    if (!frozen(m) && !done(m)) members.push_back(m);
  }
  int64_t samples = 0;
  const auto evaluate_at = [&](const std::vector<int64_t>& who, Vector& points, std::vector<double>& losses,
                               const Vector*& gradients) {
    check_stop(o_, step);
    gradients = &losses_->evaluate(who, points, losses);
    samples += batch * static_cast<int64_t>(who.size());
  };
  for (const int64_t m : lbfgs_->iterate(members, lr, threads_, evaluate_at))
    state(m, kFrozenAt) = static_cast<double>(step);
  for (int64_t m = 0; m < members_; ++m) {
    if (frozen(m)) continue;
    state(m, kLossSum) += lbfgs_->scalar(m, kLbfgsLoss) * static_cast<double>(batch);
    state(m, kCorrectSum) = std::numeric_limits<double>::quiet_NaN();
    if (copy_) params_->copy_row(m, *copy_, m);
    update_average(o_, step, m);
  }
  return samples;
}

}  // namespace

std::unique_ptr<TrainSteps> lbfgs_steps(const TrainOptions& options) { return std::make_unique<LbfgsSteps>(options); }

}  // namespace ptmz
