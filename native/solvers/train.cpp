// The training loop: load, run, check, commit, and at the end of each epoch evaluate and record.
#include "solvers/train.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "ir/error.h"

namespace ptmz {

namespace {

using Clock = std::chrono::steady_clock;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr auto kProgressInterval = std::chrono::milliseconds(34);

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

template <typename T>
bool all_finite(const T* values, int64_t n) {
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= !(std::fabs(values[i]) <= std::numeric_limits<T>::max());
  return !bad;
}
bool row_finite(const Vector& v, int64_t row) {
  return v.dtype() == DType::f32 ? all_finite(v.as<float>(row), v.size()) : all_finite(v.as<double>(row), v.size());
}

class Trainer {
 public:
  Trainer(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress);
  TrainResult run();

 private:
  void validate() const;
  double& state(int64_t m, StateColumn column) const { return o_.state->as<double>(m)[column]; }
  int64_t step() const { return static_cast<int64_t>(state(0, kStep)); }
  int64_t epoch() const { return static_cast<int64_t>(state(0, kEpochs)); }
  bool frozen(int64_t m) const { return state(m, kFrozenAt) >= 0; }
  void check_stop() const;
  void take_step();
  void load(const BatchProgram& program, int64_t first);
  void commit(const BatchProgram& program);
  void finish_epoch();
  void report(bool evaluating, bool always);

  const TrainOptions& o_;
  const std::function<void(const TrainProgress&)>& progress_;
  const int64_t members_, steps_per_epoch_, epochs_;
  int threads_;
  RunOptions run_;
  Normaliser normaliser_;
  Optimiser optimiser_;
  std::vector<std::vector<int32_t>> order_;  // of the epoch order_epoch_, per member
  int64_t order_epoch_ = -1;
  Clock::time_point start_ = Clock::now(), reported_{};
  int64_t samples_ = 0;
};

int64_t batches_of(const TrainOptions& o) {
  return o.batch.executor ? (o.train.count + o.batch.batch - 1) / o.batch.batch : 1;
}

Trainer::Trainer(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress)
    : o_(options),
      progress_(progress),
      members_(options.params->rows()),
      steps_per_epoch_(batches_of(options)),
      epochs_(options.history->rows()),
      threads_(options.run.threads > 0 ? options.run.threads : hardware_threads()),
      run_(options.run),
      normaliser_(options.train),
      optimiser_(options.optimiser, *options.params, *options.velocity, options.second_moment, options.ranges),
      order_(members_) {
  run_.members = members_;
  validate();
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
  check_labels(o_.train, "train data", o_.classes);
  if (o_.test.data.samples) check_labels(o_.test.data, "test data", o_.classes);
  check_batches(o_.batch, o_.tail, o_.train, members_);
  for (const BatchProgram* program : {&o_.batch, &o_.tail}) {
    if (!program->executor) continue;
    const Vector* grad = program->at(program->grad);
    expect(grad && grad->rows() == members_ && grad->size() == o_.params->size(), "grad must be laid out as params");
    expect(program->at(program->loss) && program->at(program->correct), "the program needs outputs loss and correct");
    const Vector* next = program->at(program->next_buffers);
    expect(!next || (o_.buffers && next->rows() == members_ && next->size() == o_.buffers->size()),
           "next_buffers must be laid out as buffers");
  }
}

TrainResult Trainer::run() {
  const auto well = [&] {
    for (int64_t m = 0; m < members_; ++m)
      if (!frozen(m)) return true;
    return false;
  };
  while (epoch() < epochs_ && well()) {
    while (step() < (epoch() + 1) * steps_per_epoch_ && step() < o_.step_limit && well()) {
      check_stop();
      take_step();
      report(false, false);
    }
    if (step() < (epoch() + 1) * steps_per_epoch_ && well()) break;  // the step limit
    finish_epoch();
  }
  report(false, true);
  const double seconds = seconds_since(start_);
  return {step(), epoch(), seconds, samples_ / std::max(seconds, 1e-9)};
}

void Trainer::check_stop() const {
  if (run_.stop && run_.stop->load()) throw Error("ABORTED", "training aborted after step " + std::to_string(step()));
}

void Trainer::take_step() {
  const int64_t first = (step() % steps_per_epoch_) * o_.batch.batch;
  const BatchProgram& program = first + o_.batch.batch <= o_.train.count && o_.batch.executor ? o_.batch : o_.tail;
  load(program, first);
  program.executor->run(program.vectors, run_);
  commit(program);
  samples_ += program.batch * members_;
}

// Every member's own samples, and the key of the random numbers in the graph: a function of (seed, epoch, step).
void Trainer::load(const BatchProgram& program, int64_t first) {
  const bool new_epoch = order_epoch_ != epoch();
  order_epoch_ = epoch();
  const Vector* key = program.at(program.key);
  parallel_for(threads_, members_, [&](int64_t m, int) {
    if (new_epoch && o_.shuffle) shuffle(o_.seeds[m], static_cast<uint32_t>(epoch()), o_.train.count, order_[m]);
    const Augmentation augmentation{o_.augment, o_.seeds[m], static_cast<uint32_t>(epoch())};
    load_batch(program, o_.train, normaliser_, o_.shuffle ? order_[m].data() : nullptr, first, m,
               o_.augment.any() ? &augmentation : nullptr);
    if (!key) return;
    const uint32_t words[4] = {static_cast<uint32_t>(o_.seeds[m]), static_cast<uint32_t>(o_.seeds[m] >> 32),
                               static_cast<uint32_t>(epoch()), static_cast<uint32_t>(step())};
    std::memcpy(key->row(m), words, sizeof words);
  });
}

// Parameters, velocity, running statistics and sums move on together, or not at all for a member that diverged.
void Trainer::commit(const BatchProgram& program) {
  const Vector& grad = *program.at(program.grad);
  const Vector* next = program.at(program.next_buffers);
  std::vector<char> alive(members_);
  std::vector<OptimiserStep> steps(members_);
  for (int64_t m = 0; m < members_; ++m) {
    alive[m] =
        !frozen(m) && std::isfinite(read_scalar(*program.at(program.loss), m)) && (!next || row_finite(*next, m));
    steps[m] = {o_.lr->as<double>(m)[step()], o_.momentum->as<double>()[step()], o_.weight_decay[m], step() + 1};
  }
  optimiser_.check(grad, steps, threads_, alive);
  optimiser_.apply(grad, steps, threads_, alive);
  for (int64_t m = 0; m < members_; ++m) {
    if (alive[m]) {
      if (next) std::memcpy(o_.buffers->row(m), next->row(m), next->size() * dtype_bytes(next->dtype()));
      state(m, kLossSum) += read_scalar(*program.at(program.loss), m) * static_cast<double>(program.batch);
      state(m, kCorrectSum) += read_scalar(*program.at(program.correct), m);
    } else if (!frozen(m)) {
      state(m, kFrozenAt) = static_cast<double>(step());
    }
  }
  for (int64_t m = 0; m < members_; ++m) state(m, kStep) += 1;
}

void Trainer::finish_epoch() {
  const int64_t current = epoch();
  const bool due = (current + 1) % o_.evaluate_every == 0 || current + 1 == epochs_;
  Evaluation test{std::vector<double>(members_, kNaN), std::vector<double>(members_, kNaN)};
  if (o_.test.data.samples && due) {
    report(true, false);
    EvaluateOptions options = o_.test;
    options.members = members_;
    options.run = run_;
    test = evaluate(options, [&](int64_t) { report(true, false); });
  }
  const double count = static_cast<double>(o_.train.count);
  for (int64_t m = 0; m < members_; ++m) {
    double* row = o_.history->as<double>(current) + m * kHistoryColumns;
    row[kTrainLoss] = frozen(m) ? kNaN : state(m, kLossSum) / count;
    row[kTrainAccuracy] = frozen(m) ? kNaN : state(m, kCorrectSum) / count;
    row[kTestLoss] = test.loss[m];
    row[kTestAccuracy] = test.accuracy[m];
    state(m, kLossSum) = state(m, kCorrectSum) = 0;
    state(m, kEpochs) += 1;
  }
}

void Trainer::report(bool evaluating, bool always) {
  if (!progress_ || (!always && Clock::now() - reported_ < kProgressInterval)) return;
  reported_ = Clock::now();
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
  const int64_t done = step() - epoch() * steps_per_epoch_;
  const double seen = static_cast<double>(done == steps_per_epoch_ ? o_.train.count : done * o_.batch.batch);
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
