// The training loop: which batches a step takes, and what is evaluated and recorded at the end of each epoch.
#include "solvers/train.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <string>

#include "backend/device.h"
#include "ir/error.h"
#include "solvers/train_steps.h"

namespace ptmz {

namespace {

using Clock = std::chrono::steady_clock;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Trainer {
 public:
  Trainer(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress);
  TrainResult run();

 private:
  void validate() const;
  void read_state_as_it_is() noexcept;
  double& state(int64_t m, StateColumn column) const { return o_.state->as<double>(m)[column]; }
  int64_t step() const { return static_cast<int64_t>(state(0, kStep)); }
  int64_t epoch() const { return static_cast<int64_t>(state(0, kEpochs)); }
  bool frozen(int64_t m) const { return state(m, kFrozenAt) >= 0; }
  std::vector<TrainBatch> batches_of_step() const;
  const BatchProgram& program_of(int64_t first) const;
  bool well(int64_t m) const { return !frozen(m) && !steps_->done(m); }
  double samples_done() const;
  void finish_epoch();
  void report(bool evaluating, bool always);

  const TrainOptions& o_;
  const std::function<void(const TrainProgress&)>& progress_;
  const int64_t members_, batches_per_epoch_, steps_per_epoch_, epochs_;
  std::unique_ptr<TrainSteps> steps_;
  std::unique_ptr<BatchRunner> tests_;  // null: no evaluation
  Clock::time_point start_ = Clock::now(), reported_{};
  int64_t samples_ = 0;
};

// Without samples an epoch is as many steps as the tables of the schedule say.
int64_t batches_of(const TrainOptions& o) {
  if (!o.train.loads()) return o.lr->size() / std::max<int64_t>(1, o.history->rows());
  return o.batch.executor ? (o.train.count + o.batch.batch - 1) / o.batch.batch : 1;
}
int64_t steps_of(const TrainOptions& o) {
  const int64_t batches = batches_of(o);
  return o.carry_leftover ? batches / o.accumulate : (batches + o.accumulate - 1) / o.accumulate;
}

Trainer::Trainer(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress)
    : o_(options),
      progress_(progress),
      members_(options.params->rows()),
      batches_per_epoch_(batches_of(options)),
      steps_per_epoch_(steps_of(options)),
      epochs_(options.history->rows()) {
  validate();
  const Device* device = o_.params->device();
  if (o_.optimiser.kind == OptimiserKind::lbfgs)
    steps_ = lbfgs_steps(o_);
  else
    steps_ = device ? device_steps(o_, *device) : cpu_steps(o_);
  if (o_.test.batch.executor || o_.test.tail.executor) tests_ = open_batches(o_.test.data, device);
}

void Trainer::validate() const {
  const auto expect = [](bool ok, const char* what) {
    if (!ok) throw Error("INVALID_ARGUMENT", std::string("train: ") + what);
  };
  const auto one_per_member = [&](size_t n) { return static_cast<int64_t>(n) == members_; };
  expect(one_per_member(o_.seeds.size()), "expected one seed per member");
  expect(one_per_member(o_.weight_decay.size()), "expected one weight decay per member");
  expect(o_.state->dtype() == DType::f64 && o_.state->rows() == members_ && o_.state->size() == kStateColumns,
         "the state must be float64, one row of 5 per member");
  expect(o_.history->dtype() == DType::f64 && o_.history->size() == members_ * kHistoryColumns,
         "the history must be float64, one row of 4 values per member for each epoch");
  const auto one_per_step = [&](const Vector& v, int64_t rows) {
    return v.dtype() == DType::f64 && v.rows() == rows && v.size() == epochs_ * steps_per_epoch_;
  };
  expect(one_per_step(*o_.lr, members_), "lr must be float64, one row per member with one number per step");
  expect(one_per_step(*o_.momentum, 1), "momentum must be float64, one row with one number per step");
  expect(!o_.augment.any() || o_.augment.height * o_.augment.width == o_.train.plane,
         "augment: height x width must be the size of the images");
  expect(o_.augment.rotate == 0 || (o_.augment.height <= kLargestTurned && o_.augment.width <= kLargestTurned),
         "augment.rotate: expected images of at most 16384 pixels a side");
  expect(o_.augment.padding >= 0, "augment: the padding must be 0 or more");
  expect(o_.evaluate_every >= 1, "evaluate_every must be 1 or more");
  expect(o_.accumulate >= 1 && steps_per_epoch_ >= 1, "accumulate: expected at least one step per epoch");
  expect(!o_.average || (o_.average->rows() == members_ && o_.average->size() == o_.params->size() &&
                         o_.average->dtype() == o_.params->dtype()),
         "the average must be laid out as params");
  if (o_.optimiser.kind == OptimiserKind::lbfgs) {
    expect(!o_.batch.executor != !o_.tail.executor, "L-BFGS needs all samples in one batch");
    expect(o_.accumulate == 1 && o_.clip == 0 && !o_.augment.any(),
           "L-BFGS takes neither accumulation, clipping nor augmentation");
  }
  check_labels(o_.train, "train data", o_.classes);
  if (o_.test.data.loads()) check_labels(o_.test.data, "test data", o_.classes);
  check_batches(o_.batch, o_.tail, o_.train, members_);
  for (const BatchProgram* program : {&o_.batch, &o_.tail}) {
    if (!program->executor) continue;
    const Vector* grad = program->at(program->grad);
    expect(grad && grad->rows() == members_ && grad->size() == o_.params->size(), "grad must be laid out as params");
    expect(program->at(program->loss), "the program needs an output loss");
    const Vector* next = program->at(program->next_buffers);
    expect(!next || (o_.buffers && next->rows() == members_ && next->size() == o_.buffers->size()),
           "next_buffers must be laid out as buffers");
  }
}

TrainResult Trainer::run() {
  const auto any_well = [&] {
    for (int64_t m = 0; m < members_; ++m)
      if (well(m)) return true;
    return false;
  };
  try {
    while (epoch() < epochs_ && any_well()) {
      while (step() < (epoch() + 1) * steps_per_epoch_ && step() < o_.step_limit && any_well()) {
        check_stop(o_, step());
        samples_ += steps_->take(step(), batches_of_step());
        for (int64_t m = 0; m < members_; ++m) state(m, kStep) += 1;
        report(false, false);
      }
      if (step() < (epoch() + 1) * steps_per_epoch_ && any_well()) break;  // the step limit
      finish_epoch();
    }
    steps_->read_state();
  } catch (const Error&) {
    read_state_as_it_is();
    throw;
  }
  report(false, true);
  const double seconds = seconds_since(start_);
  return {step(), epoch(), seconds, samples_ / std::max(seconds, 1e-9)};
}

// After an error: the state of the steps that were taken. The first error is the one to tell.
void Trainer::read_state_as_it_is() noexcept {
  try {
    steps_->read_state();
  } catch (const std::exception&) {
  }
}

const BatchProgram& Trainer::program_of(int64_t first) const {
  return o_.batch.executor && first + o_.batch.batch <= o_.train.count ? o_.batch : o_.tail;
}

// By epoch and place there.
std::vector<TrainBatch> Trainer::batches_of_step() const {
  const int64_t in_epoch = step() % steps_per_epoch_;
  const int64_t size = o_.batch.executor ? o_.batch.batch : o_.tail.batch;
  std::vector<TrainBatch> batches;
  const auto add = [&](int64_t epoch, int64_t index) {
    const int64_t first = o_.train.loads() ? index * size : 0;
    batches.push_back({&program_of(first), epoch, epoch * batches_per_epoch_ + index, first, 0});
  };
  if (o_.carry_leftover && in_epoch == 0 && epoch() > 0) {
    for (int64_t i = steps_per_epoch_ * o_.accumulate; i < batches_per_epoch_; ++i) add(epoch() - 1, i);
  }
  const int64_t begin = in_epoch * o_.accumulate;
  for (int64_t i = begin; i < std::min(begin + o_.accumulate, batches_per_epoch_); ++i) add(epoch(), i);
  int64_t total = 0;
  for (const TrainBatch& batch : batches) total += batch.program->batch;
  for (TrainBatch& batch : batches)
    batch.weight = o_.carry_leftover ? 1.0 / static_cast<double>(o_.accumulate)
                                     : static_cast<double>(batch.program->batch) / static_cast<double>(total);
  return batches;
}

// Of the epoch under way; the part of an epoch that ends early, all of its members being done, counts as the whole.
double Trainer::samples_done() const {
  const int64_t steps = step() - epoch() * steps_per_epoch_;
  if (!o_.train.loads()) return static_cast<double>(steps);
  const int64_t batch = o_.batch.executor ? o_.batch.batch : o_.tail.batch;
  return static_cast<double>(std::min(o_.train.count, steps * o_.accumulate * batch));
}

void Trainer::finish_epoch() {
  const int64_t current = epoch();
  steps_->read_state();
  const bool due = (current + 1) % o_.evaluate_every == 0 || current + 1 == epochs_;
  Evaluation test{std::vector<double>(members_, kNaN), std::vector<double>(members_, kNaN)};
  if (tests_ && due) {
    report(true, false);
    EvaluateOptions options = o_.test;
    options.members = members_;
    options.run = o_.run;
    test = evaluate(options, *tests_, [&](int64_t) { report(true, false); });
  }
  const double count = samples_done(), share = o_.carry_leftover ? static_cast<double>(o_.accumulate) : 1;
  for (int64_t m = 0; m < members_; ++m) {
    double* row = o_.history->as<double>(current) + m * kHistoryColumns;
    row[kTrainLoss] = frozen(m) ? kNaN : state(m, kLossSum) / count / share;
    row[kTrainAccuracy] = frozen(m) ? kNaN : state(m, kCorrectSum) / count;
    row[kTestLoss] = test.loss[m];
    row[kTestAccuracy] = test.accuracy[m];
    state(m, kLossSum) = state(m, kCorrectSum) = 0;
    state(m, kEpochs) += 1;
  }
  steps_->write_state();
}

void Trainer::report(bool evaluating, bool always) {
  if (!progress_ || (!always && Clock::now() - reported_ < steps_->report_interval())) return;
  reported_ = Clock::now();
  steps_->read_state();
  const int64_t steps = o_.lr->size();
  TrainProgress p{epoch(),
                  epochs_,
                  step(),
                  steps,
                  evaluating,
                  o_.lr->as<double>()[std::min(step(), steps - 1)],
                  samples_ / std::max(seconds_since(start_), 1e-9),
                  {},
                  {},
                  {}};
  const double seen = samples_done();
  for (int64_t m = 0; m < members_; ++m) {
    p.loss.push_back(frozen(m) ? kNaN : state(m, kLossSum) / seen);
    p.accuracy.push_back(frozen(m) ? kNaN : state(m, kCorrectSum) / seen);
  }
  if (epoch() > 0) {
    const double* row = o_.history->as<double>(epoch() - 1);
    p.last.assign(row, row + o_.history->size());
  }
  progress_(p);
}

}  // namespace

TrainResult train(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress) {
  if (!options.params || !options.velocity || !options.state || !options.history || !options.lr || !options.momentum) {
    throw Error("INVALID_ARGUMENT", "train: expected vectors params, velocity, state, history, lr and momentum");
  }
  return Trainer(options, progress).run();
}

}  // namespace ptmz
