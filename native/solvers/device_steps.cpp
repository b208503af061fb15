// Training steps on a device. Samples, parameters and the state of the optimiser lie there; the host gives the place of
// each batch and replays, and waits only where the state is read. Everything else that changes from step to step -
// rates, order, who goes on - lies in the device's memory, so that a step is one recording for each of its programs.
#include <algorithm>
#include <optional>

#include "runtime/replay.h"
#include "solvers/device_samples.h"
#include "solvers/train_steps.h"

namespace ptmz {
namespace {

std::vector<StepPiece> pieces_of(const std::vector<ParameterRange>& ranges) {
  std::vector<StepPiece> pieces;
  for (const ParameterRange& range : ranges)
    for (int64_t begin = range.begin; begin < range.end; begin += kStepPiece)
      pieces.push_back({begin, static_cast<int32_t>(std::min(kStepPiece, range.end - begin)), range.decays});
  return pieces;
}

std::vector<double> values_of(const Vector& v) { return {v.as<double>(), v.as<double>() + v.rows() * v.size()}; }

// Of the largest batch, of all members.
int64_t images_of(const TrainOptions& o) { return o.params->rows() * std::max(o.batch.batch, o.tail.batch); }
bool colours(const TrainOptions& o) { return o.augment.ops && o.train.ops.colours(); }

WindowReaders readers_of(const TrainOptions& o) {
  if (!o.shuffle) return {};
  WindowReaders readers;
  readers.seeds = o.seeds;
  readers.batch = std::max(o.batch.batch, o.tail.batch);
  readers.epochs = o.history->rows();
  return readers;
}

class DeviceSteps final : public TrainSteps {
 public:
  DeviceSteps(const TrainOptions& options, const Device& device);
  ~DeviceSteps() override;
  int64_t take(int64_t step, const std::vector<TrainBatch>& batches) override;
  void read_state() override;
  void write_state() override;
  // Reading waits for all that was given to the device.
  std::chrono::milliseconds report_interval() const override { return std::chrono::milliseconds(1000); }

 private:
  bool several() const { return o_.accumulate > 1; }
  bool ordered() const { return o_.shuffle && o_.train.loads() && !samples_.in_windows(); }
  void run(StepCode code, int64_t count = 1);
  void move(StepCode code, const Vector* to, const Vector* from);
  void shuffle(int64_t epoch);
  int64_t place_of(const TrainBatch& batch, bool begins);
  void take_batch(const BatchProgram& program, bool begins);
  void commit(const BatchProgram& program);
  DeviceFault* fault_of(const BatchProgram& program);

  const TrainOptions& o_;
  const int64_t members_;
  RunOptions run_;
  const std::unique_ptr<DeviceStream> stream_;
  DeviceSamples samples_;
  const std::vector<StepPiece> piece_list_;
  DeviceArray<StepPiece> pieces_;
  DeviceArray<StepPlace> place_;
  DeviceArray<int32_t> order_, alive_;
  DeviceArray<uint64_t> seeds_;
  DeviceArray<ImageDraw> draws_;
  DeviceArray<uint8_t> coloured_;
  DeviceArray<double> state_, norms_, lr_, momentum_, weight_decay_;
  DeviceArray<char> rules_;
  DeviceArray<DeviceFault> faults_;                      // of the batch's program and of the tail's
  std::optional<Vector> gradient_sum_, buffers_before_;  // of a step of several batches
  StepTask task_{};                                      // what all kernels of a step have in common
  int64_t order_epoch_ = -1;
  Replay replay_;
};

DeviceSteps::DeviceSteps(const TrainOptions& options, const Device& device)
    : o_(options),
      members_(options.params->rows()),
      run_(options.run),
      stream_(device.open_stream()),
      samples_(options.train, device, *stream_, readers_of(options)),
      piece_list_(pieces_of(options.ranges)),
      pieces_(device, *stream_, piece_list_),
      place_(device, 1),
      order_(device, ordered() ? members_ * options.train.count : 0),
      alive_(device, members_),
      seeds_(device, *stream_, options.seeds),
      draws_(device, options.augment.any() ? images_of(options) : 0),
      coloured_(device, colours(options) ? images_of(options) * 2 * options.train.sample_size() : 0),
      state_(device, members_ * kStateColumns),
      lr_(device, *stream_, values_of(*options.lr)),
      momentum_(device, *stream_, values_of(*options.momentum)),
      weight_decay_(device, *stream_, options.weight_decay),
      rules_(device, 2 * members_ * kRuleBytes),
      faults_(device, 2),
      replay_(*stream_) {
  // For its checks of layouts.
  Optimiser(o_.optimiser, *o_.params, *o_.velocity, o_.second_moment, o_.ranges);
  for (const Vector* v : {o_.velocity, o_.second_moment, o_.average, o_.buffers})
    if (v && v->device() != &device)
      throw Error("INVALID_ARGUMENT", std::string("train: expected all rows of members on ") + device.name());
  run_.members = members_;
  run_.stop = nullptr;  // the loop stops between steps
  const int64_t parts = o_.clip > 0 ? (o_.params->size() + kNormPart - 1) / kNormPart : 0;
  norms_ = DeviceArray<double>(device, members_ * parts);
  if (several()) {
    gradient_sum_.emplace(o_.params->dtype(), members_, o_.params->size(), &device);
    if (o_.buffers) buffers_before_.emplace(o_.buffers->dtype(), members_, o_.buffers->size(), &device);
  }
  task_.real = o_.params->dtype();
  task_.members = members_;
  task_.place = place_.data();
  task_.sample_count = o_.train.count;
  task_.order = order_.data();
  task_.seeds = seeds_.data();
  task_.augment = o_.augment;
  task_.draws = draws_.data();
  task_.coloured = coloured_.data();
  task_.params = rows_of(o_.params);
  task_.first = rows_of(o_.velocity);
  task_.second = rows_of(o_.second_moment);
  task_.state = state_.data();
  task_.alive = alive_.data();
  task_.pieces = pieces_.data();
  task_.rules = rules_.data();
  task_.norms = norms_.data();
  task_.norm_count = parts;
  task_.clip = o_.clip;
  task_.average_part = 1 - o_.average_decay;
  task_.optimiser = o_.optimiser;
  task_.lr = lr_.data();
  task_.momentum = momentum_.data();
  task_.weight_decay = weight_decay_.data();
  task_.steps = o_.lr->size();
  write_state();
}

// Programs and vectors may go as soon as this is gone.
DeviceSteps::~DeviceSteps() {
  try {
    stream_->wait();
  } catch (const std::exception&) {  // whoever reads the state has been told
  }
}

void DeviceSteps::run(StepCode code, int64_t count) {
  task_.code = code;
  task_.count = count;
  stream_->step(task_);
}

void DeviceSteps::move(StepCode code, const Vector* to, const Vector* from) {
  task_.to = rows_of(to);
  task_.from = rows_of(from);
  run(code, to->size());
}

void DeviceSteps::shuffle(int64_t epoch) {
  if (!ordered() || order_epoch_ == epoch) return;
  order_epoch_ = epoch;
  task_.next_place.epoch = epoch;
  run(StepCode::shuffle);
}

// Where a file cannot be read, the batches before are as if they had not been.
int64_t DeviceSteps::place_of(const TrainBatch& batch, bool begins) {
  try {
    return samples_.place(batch.epoch, batch.first, batch.program->batch);
  } catch (...) {
    if (!begins && buffers_before_) stream_->copy(o_.buffers->row(0), buffers_before_->row(0), o_.buffers->bytes());
    throw;
  }
}

DeviceFault* DeviceSteps::fault_of(const BatchProgram& program) {
  return faults_.data() + (&program == &o_.batch ? 0 : 1);
}

int64_t DeviceSteps::take(int64_t step, const std::vector<TrainBatch>& batches) {
  int64_t samples = 0;
  for (const TrainBatch& batch : batches) {
    const bool begins = &batch == &batches.front(), ends = &batch == &batches.back();
    shuffle(batch.epoch);
    task_.next_place = {batch.epoch, batch.number, place_of(batch, begins), step, batch.weight, begins};
    run(StepCode::set_place);
    const int64_t room = batch.program->executor->reserve(run_, *stream_);
    replay_.run({batch.program, samples_.address(), key_of(room), key_of(begins), key_of(ends)}, [&] {
      take_batch(*batch.program, begins);
      if (ends) commit(*batch.program);
    });
    samples += batch.program->batch * members_;
  }
  return samples;
}

// Sums of losses and, of several batches, gradients and running statistics move on batch by batch.
void DeviceSteps::take_batch(const BatchProgram& program, bool begins) {
  if (begins && buffers_before_) stream_->copy(buffers_before_->row(0), o_.buffers->row(0), o_.buffers->bytes());
  samples_.load(*stream_, program, task_);
  program.executor->enqueue(program.vectors, run_, *stream_, fault_of(program));
  const Vector* next = program.at(program.next_buffers);
  task_.batch = program.batch;
  task_.loss = rows_of(program.at(program.loss));
  task_.correct = rows_of(program.at(program.correct));
  task_.next_buffers = rows_of(next);
  task_.buffer_count = next ? next->size() : 0;
  run(StepCode::accept);
  if (!several()) return;
  move(StepCode::add_gradient, &*gradient_sum_, program.at(program.grad));
  if (next) move(StepCode::keep, o_.buffers, next);
}

// Parameters, moments and running statistics move on together, or not at all for a member that diverged.
void DeviceSteps::commit(const BatchProgram& program) {
  const Vector *grad = several() ? &*gradient_sum_ : program.at(program.grad), *next = program.at(program.next_buffers);
  const int64_t pieces = static_cast<int64_t>(piece_list_.size());
  task_.gradient = rows_of(grad);
  if (o_.clip > 0) run(StepCode::norm_parts, grad->size());
  run(StepCode::make_rules);
  run(StepCode::check_update, pieces);
  run(StepCode::update, pieces);
  if (next && !several()) move(StepCode::keep, o_.buffers, next);
  if (o_.average) move(StepCode::average, o_.average, o_.params);
  if (buffers_before_) move(StepCode::restore, o_.buffers, &*buffers_before_);
  run(StepCode::freeze);
}

void DeviceSteps::read_state() {
  const std::vector<double> state = state_.read(*stream_);
  const std::vector<DeviceFault> faults = faults_.read(*stream_);
  for (int64_t m = 0; m < members_; ++m)
    for (const StateColumn column : {kLossSum, kCorrectSum, kFrozenAt})
      o_.state->as<double>(m)[column] = state[m * kStateColumns + column];
  for (const BatchProgram* program : {&o_.batch, &o_.tail})
    if (program->executor) program->executor->check_fault(faults[program == &o_.batch ? 0 : 1]);
}

void DeviceSteps::write_state() { state_.write(*stream_, o_.state->as<double>()); }

}  // namespace

static_assert(kStateColumns == kStateRow && kLossSum == kStateLoss && kCorrectSum == kStateCorrect &&
              kFrozenAt == kStateFrozenAt);

std::unique_ptr<TrainSteps> device_steps(const TrainOptions& options, const Device& device) {
  return std::make_unique<DeviceSteps>(options, device);
}

}  // namespace ptmz
