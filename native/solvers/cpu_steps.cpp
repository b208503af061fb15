// Training steps on the CPU: load, run, check, commit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "solvers/train_steps.h"

namespace ptmz {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <typename T>
bool all_finite(const T* values, int64_t n) {
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) bad |= !(std::fabs(values[i]) <= std::numeric_limits<T>::max());
  return !bad;
}
bool row_finite(const Vector& v, int64_t row) {
  return v.dtype() == DType::f32 ? all_finite(v.as<float>(row), v.size()) : all_finite(v.as<double>(row), v.size());
}

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

class CpuSteps final : public TrainSteps {
 public:
  explicit CpuSteps(const TrainOptions& options);
  int64_t take(int64_t step, const std::vector<TrainBatch>& batches) override;

 private:
  double& state(int64_t m, StateColumn column) const { return o_.state->as<double>(m)[column]; }
  bool frozen(int64_t m) const { return state(m, kFrozenAt) >= 0; }
  void load(const TrainBatch& batch);
  const Vector* gradient_of(const std::vector<TrainBatch>& batches, std::vector<char>& alive);
  void keep_buffers(const std::vector<char>& alive);
  void commit(int64_t step, const Vector& grad, std::vector<char>& alive);
  double clip_factor(const Vector& grad, int64_t m) const;

  const TrainOptions& o_;
  const int64_t members_;
  const int threads_;
  RunOptions run_;
  Normaliser normaliser_;
  Optimiser optimiser_;
  std::optional<Vector> gradient_sum_, buffers_before_;  // of a step of several batches
  const Vector* pending_buffers_ = nullptr;              // statistics after the last batch
  std::vector<std::vector<int32_t>> order_;              // of the epoch order_epoch_, per member
  int64_t order_epoch_ = -1;
};

CpuSteps::CpuSteps(const TrainOptions& options)
    : o_(options),
      members_(options.params->rows()),
      threads_(options.run.threads > 0 ? options.run.threads : hardware_threads()),
      run_(options.run),
      normaliser_(options.train),
      optimiser_(options.optimiser, *options.params, *options.velocity, options.second_moment, options.ranges),
      order_(members_) {
  run_.members = members_;
  if (o_.accumulate > 1) {
    gradient_sum_.emplace(o_.params->dtype(), members_, o_.params->size());
    if (o_.buffers) buffers_before_.emplace(o_.buffers->dtype(), members_, o_.buffers->size());
  }
}

int64_t CpuSteps::take(int64_t step, const std::vector<TrainBatch>& batches) {
  std::vector<char> alive(members_);
  for (int64_t m = 0; m < members_; ++m) alive[m] = !frozen(m);
  if (buffers_before_) std::memcpy(buffers_before_->row(0), o_.buffers->row(0), o_.buffers->bytes());
  const Vector* grad;
  try {
    grad = gradient_of(batches, alive);
  } catch (...) {
    if (buffers_before_) std::memcpy(o_.buffers->row(0), buffers_before_->row(0), o_.buffers->bytes());
    throw;
  }
  commit(step, *grad, alive);
  int64_t samples = 0;
  for (const TrainBatch& batch : batches) samples += batch.program->batch * members_;
  return samples;
}

// The gradient of a step: that of its one batch, or the mean over the samples of several. Sums of losses and running
// statistics move on batch by batch; `alive` loses members whose loss or statistics are not finite.
const Vector* CpuSteps::gradient_of(const std::vector<TrainBatch>& batches, std::vector<char>& alive) {
  const Vector* grad = nullptr;
  bool begun = false;
  for (const TrainBatch& batch : batches) {
    const BatchProgram& program = *batch.program;
    load(batch);
    program.executor->run(program.vectors, run_);
    grad = program.at(program.grad);
    const Vector *loss = program.at(program.loss), *correct = program.at(program.correct);
    const Vector* next = program.at(program.next_buffers);
    parallel_for(threads_, members_, [&](int64_t m, int) {
      alive[m] = alive[m] && std::isfinite(read_scalar(*loss, m)) && (!next || row_finite(*next, m));
      if (!alive[m]) return;
      state(m, kLossSum) += read_scalar(*loss, m) * static_cast<double>(program.batch);
      state(m, kCorrectSum) += correct ? read_scalar(*correct, m) : kNaN;
      if (gradient_sum_) add_weighted(*gradient_sum_, *grad, m, batch.weight, begun);
    });
    // A step of one batch keeps its statistics back until the optimiser has agreed.
    pending_buffers_ = next;
    if (next && gradient_sum_) keep_buffers(alive);
    begun = true;
  }
  return gradient_sum_ ? &*gradient_sum_ : grad;
}

void CpuSteps::keep_buffers(const std::vector<char>& alive) {
  for (int64_t m = 0; pending_buffers_ && m < members_; ++m)
    if (alive[m]) o_.buffers->copy_row(m, *pending_buffers_, m);
}

void CpuSteps::load(const TrainBatch& batch) {
  const bool new_epoch = order_epoch_ != batch.epoch;
  order_epoch_ = batch.epoch;
  const uint32_t epoch = static_cast<uint32_t>(batch.epoch);
  parallel_for(threads_, members_, [&](int64_t m, int) {
    if (new_epoch && o_.shuffle && o_.train.loads()) shuffle(o_.seeds[m], epoch, o_.train.count, order_[m]);
    const Augmentation augmentation{o_.augment, o_.seeds[m], epoch};
    load_batch(*batch.program, o_.train, normaliser_, o_.shuffle ? order_[m].data() : nullptr, batch.first, m,
               o_.augment.any() ? &augmentation : nullptr);
    write_key(*batch.program, m, o_.seeds[m], batch.epoch, batch.number);
  });
}

// Parameters, moments and running statistics move on together, or not at all for a member that diverged.
void CpuSteps::commit(int64_t step, const Vector& grad, std::vector<char>& alive) {
  std::vector<OptimiserStep> steps(members_);
  for (int64_t m = 0; m < members_; ++m) {
    steps[m] = {o_.lr->as<double>(m)[step], o_.momentum->as<double>()[step], o_.weight_decay[m], step + 1,
                alive[m] ? clip_factor(grad, m) : 1.0};
  }
  optimiser_.check(grad, steps, threads_, alive);
  optimiser_.apply(grad, steps, threads_, alive);
  if (!gradient_sum_) keep_buffers(alive);
  for (int64_t m = 0; m < members_; ++m) {
    if (alive[m]) {
      update_average(o_, step, m);
    } else if (!frozen(m)) {
      state(m, kFrozenAt) = static_cast<double>(step);
      if (buffers_before_) o_.buffers->copy_row(m, *buffers_before_, m);
    }
  }
}

// torch.nn.utils.clip_grad_norm_: clip / (norm + 1e-6) where that is below 1.
double CpuSteps::clip_factor(const Vector& grad, int64_t m) const {
  if (o_.clip == 0) return 1;
  double squares = 0;
  for (int64_t i = 0; i < grad.size(); ++i) squares += read_real(grad, m, i) * read_real(grad, m, i);
  return std::min(1.0, o_.clip / (std::sqrt(squares) + 1e-6));
}

}  // namespace

void update_average(const TrainOptions& o, int64_t step, int64_t m) {
  if (!o.average) return;
  if (step == 0) return o.average->copy_row(m, *o.params, m);
  add_difference(*o.average, *o.params, m, 1 - o.average_decay);
}

std::unique_ptr<TrainSteps> cpu_steps(const TrainOptions& options) { return std::make_unique<CpuSteps>(options); }

}  // namespace ptmz
