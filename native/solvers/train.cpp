// The training loop: load, run, check, commit, and at the end of each epoch evaluate and record.
#include "solvers/train.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
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
int64_t row_bytes(const Vector& v) { return v.size() * dtype_bytes(v.dtype()); }

// Calls f(rows of both vectors, elements) with their type.
template <typename F>
void on_rows(const Vector& a, const Vector& b, int64_t row, const F& f) {
  a.dtype() == DType::f32 ? f(a.as<float>(row), b.as<float>(row), a.size())
                          : f(a.as<double>(row), b.as<double>(row), a.size());
}
// sum += weight * x, or the first term alone.
void add_weighted(const Vector& sum, const Vector& x, int64_t row, double weight, bool begun) {
  on_rows(sum, x, row, [&]<typename T>(T* to, const T* from, int64_t n) {
    const T w = static_cast<T>(weight);
    for (int64_t i = 0; i < n; ++i) to[i] = (begun ? to[i] : T(0)) + w * from[i];
  });
}
// average += part * (x - average).
void add_difference(const Vector& average, const Vector& x, int64_t row, double part) {
  on_rows(average, x, row, [&]<typename T>(T* to, const T* from, int64_t n) {
    const T p = static_cast<T>(part);
    for (int64_t i = 0; i < n; ++i) to[i] += p * (from[i] - to[i]);
  });
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
  // A batch by its epoch and its place there.
  struct Place {
    int64_t epoch, index;
  };
  std::vector<Place> batches_of_step() const;
  const BatchProgram& program_of(int64_t first) const;
  bool well(int64_t m) const { return !frozen(m) && !(lbfgs_ && lbfgs_->done(m)); }
  void take_step();
  void take_lbfgs_step();
  void load(const BatchProgram& program, Place place, int64_t first);
  void write_key(const BatchProgram& program, int64_t row, int64_t m, uint32_t epoch, uint32_t step) const;
  const Vector* gradient_of(const std::vector<Place>& places, std::vector<char>& alive);
  void keep_buffers(const std::vector<char>& alive);
  void commit(const Vector& grad, std::vector<char>& alive);
  double clip_factor(const Vector& grad, int64_t m) const;
  void update_average(int64_t m);
  double samples_done() const;
  void finish_epoch();
  void report(bool evaluating, bool always);

  const TrainOptions& o_;
  const std::function<void(const TrainProgress&)>& progress_;
  const int64_t members_, batches_per_epoch_, steps_per_epoch_, epochs_;
  int threads_;
  RunOptions run_;
  Normaliser normaliser_;
  std::optional<Optimiser> optimiser_;
  std::optional<Lbfgs> lbfgs_;
  std::optional<Vector> gradient_sum_, buffers_before_;  // of a step of several batches
  const Vector* pending_buffers_ = nullptr;              // statistics after the last batch
  std::optional<Vector> trial_buffers_;                  // of L-BFGS: the buffers of the members under way
  std::vector<std::vector<int32_t>> order_;              // of the epoch order_epoch_, per member
  int64_t order_epoch_ = -1;
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
      epochs_(options.history->rows()),
      threads_(options.run.threads > 0 ? options.run.threads : hardware_threads()),
      run_(options.run),
      normaliser_(options.train),
      order_(members_) {
  run_.members = members_;
  validate();
  if (o_.optimiser.kind == OptimiserKind::lbfgs) {
    lbfgs_.emplace(o_.lbfgs, LbfgsState{o_.params, o_.velocity, o_.pairs, o_.search});
    if (o_.buffers) trial_buffers_.emplace(o_.buffers->dtype(), members_, o_.buffers->size());
  } else {
    optimiser_.emplace(o_.optimiser, *o_.params, *o_.velocity, o_.second_moment, o_.ranges);
  }
  if (o_.accumulate > 1) {
    gradient_sum_.emplace(o_.params->dtype(), members_, o_.params->size());
    if (o_.buffers) buffers_before_.emplace(o_.buffers->dtype(), members_, o_.buffers->size());
  }
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
  while (epoch() < epochs_ && any_well()) {
    while (step() < (epoch() + 1) * steps_per_epoch_ && step() < o_.step_limit && any_well()) {
      check_stop();
      lbfgs_ ? take_lbfgs_step() : take_step();
      report(false, false);
    }
    if (step() < (epoch() + 1) * steps_per_epoch_ && any_well()) break;  // the step limit
    finish_epoch();
  }
  report(false, true);
  const double seconds = seconds_since(start_);
  return {step(), epoch(), seconds, samples_ / std::max(seconds, 1e-9)};
}

void Trainer::check_stop() const {
  if (run_.stop && run_.stop->load()) throw Error("ABORTED", "training aborted after step " + std::to_string(step()));
}

const BatchProgram& Trainer::program_of(int64_t first) const {
  return o_.batch.executor && first + o_.batch.batch <= o_.train.count ? o_.batch : o_.tail;
}

std::vector<Trainer::Place> Trainer::batches_of_step() const {
  const int64_t in_epoch = step() % steps_per_epoch_;
  std::vector<Place> places;
  if (o_.carry_leftover && in_epoch == 0 && epoch() > 0) {
    for (int64_t i = steps_per_epoch_ * o_.accumulate; i < batches_per_epoch_; ++i) places.push_back({epoch() - 1, i});
  }
  const int64_t begin = in_epoch * o_.accumulate;
  for (int64_t i = begin; i < std::min(begin + o_.accumulate, batches_per_epoch_); ++i) places.push_back({epoch(), i});
  return places;
}

void Trainer::take_step() {
  const std::vector<Place> places = batches_of_step();
  std::vector<char> alive(members_);
  for (int64_t m = 0; m < members_; ++m) alive[m] = well(m);
  if (buffers_before_) std::memcpy(buffers_before_->row(0), o_.buffers->row(0), o_.buffers->bytes());
  const Vector* grad;
  try {
    grad = gradient_of(places, alive);
  } catch (...) {
    if (buffers_before_) std::memcpy(o_.buffers->row(0), buffers_before_->row(0), o_.buffers->bytes());
    throw;
  }
  commit(*grad, alive);
}

// The gradient of a step: that of its one batch, or the mean over the samples of several. Sums of losses and running
// statistics move on batch by batch; `alive` loses members whose loss or statistics are not finite.
const Vector* Trainer::gradient_of(const std::vector<Place>& places, std::vector<char>& alive) {
  const int64_t size = o_.batch.executor ? o_.batch.batch : o_.tail.batch;
  const auto first_of = [&](Place place) { return o_.train.loads() ? place.index * size : 0; };
  int64_t total = 0;
  for (const Place place : places) total += program_of(first_of(place)).batch;
  const Vector* grad = nullptr;
  bool begun = false;
  for (const Place place : places) {
    const BatchProgram& program = program_of(first_of(place));
    load(program, place, first_of(place));
    program.executor->run(program.vectors, run_);
    samples_ += program.batch * members_;
    grad = program.at(program.grad);
    const double weight = o_.carry_leftover ? 1.0 / static_cast<double>(o_.accumulate)
                                            : static_cast<double>(program.batch) / static_cast<double>(total);
    const Vector *loss = program.at(program.loss), *correct = program.at(program.correct);
    const Vector* next = program.at(program.next_buffers);
    parallel_for(threads_, members_, [&](int64_t m, int) {
      alive[m] = alive[m] && std::isfinite(read_scalar(*loss, m)) && (!next || row_finite(*next, m));
      if (!alive[m]) return;
      state(m, kLossSum) += read_scalar(*loss, m) * static_cast<double>(program.batch);
      state(m, kCorrectSum) += correct ? read_scalar(*correct, m) : kNaN;
      if (gradient_sum_) add_weighted(*gradient_sum_, *grad, m, weight, begun);
    });
    // A step of one batch keeps its statistics back until the optimiser has agreed.
    pending_buffers_ = next;
    if (next && gradient_sum_) keep_buffers(alive);
    begun = true;
  }
  return gradient_sum_ ? &*gradient_sum_ : grad;
}

void Trainer::keep_buffers(const std::vector<char>& alive) {
  for (int64_t m = 0; pending_buffers_ && m < members_; ++m)
    if (alive[m]) std::memcpy(o_.buffers->row(m), pending_buffers_->row(m), row_bytes(*o_.buffers));
}

// Every member's own samples, and the key of the random numbers in the graph: a function of (seed, epoch, batch).
void Trainer::load(const BatchProgram& program, Place place, int64_t first) {
  const bool new_epoch = order_epoch_ != place.epoch;
  order_epoch_ = place.epoch;
  const uint32_t epoch = static_cast<uint32_t>(place.epoch);
  parallel_for(threads_, members_, [&](int64_t m, int) {
    if (new_epoch && o_.shuffle && o_.train.loads()) shuffle(o_.seeds[m], epoch, o_.train.count, order_[m]);
    const Augmentation augmentation{o_.augment, o_.seeds[m], epoch};
    load_batch(program, o_.train, normaliser_, o_.shuffle ? order_[m].data() : nullptr, first, m,
               o_.augment.any() ? &augmentation : nullptr);
    write_key(program, m, m, epoch, static_cast<uint32_t>(place.epoch * batches_per_epoch_ + place.index));
  });
}

void Trainer::write_key(const BatchProgram& program, int64_t row, int64_t m, uint32_t epoch, uint32_t step) const {
  const Vector* key = program.at(program.key);
  if (!key) return;
  const uint32_t words[4] = {static_cast<uint32_t>(o_.seeds[m]), static_cast<uint32_t>(o_.seeds[m] >> 32), epoch, step};
  std::memcpy(key->row(row), words, sizeof words);
}

// Parameters, moments and running statistics move on together, or not at all for a member that diverged.
void Trainer::commit(const Vector& grad, std::vector<char>& alive) {
  std::vector<OptimiserStep> steps(members_);
  for (int64_t m = 0; m < members_; ++m) {
    steps[m] = {o_.lr->as<double>(m)[step()], o_.momentum->as<double>()[step()], o_.weight_decay[m], step() + 1,
                alive[m] ? clip_factor(grad, m) : 1.0};
  }
  optimiser_->check(grad, steps, threads_, alive);
  optimiser_->apply(grad, steps, threads_, alive);
  if (!gradient_sum_) keep_buffers(alive);
  for (int64_t m = 0; m < members_; ++m) {
    if (alive[m]) {
      update_average(m);
    } else if (!frozen(m)) {
      state(m, kFrozenAt) = static_cast<double>(step());
      if (buffers_before_) std::memcpy(o_.buffers->row(m), buffers_before_->row(m), row_bytes(*o_.buffers));
    }
  }
  for (int64_t m = 0; m < members_; ++m) state(m, kStep) += 1;
}

// torch.nn.utils.clip_grad_norm_: clip / (norm + 1e-6) where that is below 1.
double Trainer::clip_factor(const Vector& grad, int64_t m) const {
  if (o_.clip == 0) return 1;
  double squares = 0;
  for (int64_t i = 0; i < grad.size(); ++i) squares += read_real(grad, m, i) * read_real(grad, m, i);
  return std::min(1.0, o_.clip / (std::sqrt(squares) + 1e-6));
}

// average += (1 - decay) (parameters - average); the first step copies them (torch.optim.swa_utils.AveragedModel).
void Trainer::update_average(int64_t m) {
  if (!o_.average) return;
  if (step() == 0) {
    std::memcpy(o_.average->row(m), o_.params->row(m), row_bytes(*o_.params));
    return;
  }
  add_difference(*o_.average, *o_.params, m, 1 - o_.average_decay);
}

void Trainer::take_lbfgs_step() {
  std::vector<int64_t> members;
  std::vector<double> lr(members_);
  for (int64_t m = 0; m < members_; ++m) {
    lr[m] = o_.lr->as<double>(m)[step()];
    if (well(m)) members.push_back(m);
  }
  const BatchProgram& program = o_.batch.executor ? o_.batch : o_.tail;
  const auto evaluate_at = [&](const std::vector<int64_t>& who, Vector& points, std::vector<double>& losses,
                               const Vector*& gradients) {
    check_stop();
    const int64_t count = static_cast<int64_t>(who.size());
    std::vector<Vector*> vectors = program.vectors;
    vectors.at(program.params) = &points;
    if (trial_buffers_ && program.buffers >= 0) vectors[program.buffers] = &*trial_buffers_;
    parallel_for(threads_, count, [&](int64_t r, int) {
      if (trial_buffers_) std::memcpy(trial_buffers_->row(r), o_.buffers->row(who[r]), row_bytes(*trial_buffers_));
      // The loss must stay the same function, so neither order nor random numbers change from step to step.
      load_batch(program, o_.train, normaliser_, nullptr, 0, r);
      write_key(program, r, who[r], 0, 0);
    });
    RunOptions run = run_;
    run.members = count;
    run.rows = members_;
    program.executor->run(vectors, run);
    samples_ += program.batch * count;
    for (int64_t r = 0; r < count; ++r) losses[r] = read_scalar(*program.at(program.loss), r);
    gradients = program.at(program.grad);
  };
  for (const int64_t m : lbfgs_->iterate(members, lr, threads_, evaluate_at))
    state(m, kFrozenAt) = static_cast<double>(step());
  for (int64_t m = 0; m < members_; ++m) {
    if (!frozen(m)) {
      state(m, kLossSum) += lbfgs_->scalar(m, kLbfgsLoss) * static_cast<double>(program.batch);
      state(m, kCorrectSum) = kNaN;
      update_average(m);
    }
    state(m, kStep) += 1;
  }
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
  const bool due = (current + 1) % o_.evaluate_every == 0 || current + 1 == epochs_;
  Evaluation test{std::vector<double>(members_, kNaN), std::vector<double>(members_, kNaN)};
  if ((o_.test.batch.executor || o_.test.tail.executor) && due) {
    report(true, false);
    EvaluateOptions options = o_.test;
    options.members = members_;
    options.run = run_;
    test = evaluate(options, [&](int64_t) { report(true, false); });
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
