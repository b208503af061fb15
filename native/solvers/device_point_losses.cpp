// PointLosses on a device: points go there, losses and gradients come back; samples stay.
#include <optional>

#include "runtime/replay.h"
#include "solvers/device_samples.h"
#include "solvers/point_losses.h"

namespace ptmz {
namespace {

class DevicePointLosses final : public PointLosses {
 public:
  DevicePointLosses(const TrainOptions& options, const Device& device)
      : o_(options),
        device_(device),
        program_(program_of_all_samples(options)),
        run_(options.run),
        stream_(device.open_stream()),
        samples_(options.train, device, *stream_),
        place_(device, 1),
        fault_(device, 1),
        points_(options.params->dtype(), options.params->rows(), options.params->size(), &device),
        gradients_(options.params->dtype(), options.params->rows(), options.params->size()),
        vectors_(program_.vectors),
        replay_(*stream_) {
    run_.rows = o_.params->rows();
    run_.stop = nullptr;  // the caller stops between evaluations
    vectors_.at(program_.params) = &points_;
    if (!o_.buffers) return;
    trial_buffers_.emplace(o_.buffers->dtype(), o_.buffers->rows(), o_.buffers->size(), &device);
    if (program_.buffers >= 0) vectors_[program_.buffers] = &*trial_buffers_;
  }

  const Vector& evaluate(const std::vector<int64_t>& who, Vector& points, std::vector<double>& losses) override {
    const int64_t count = static_cast<int64_t>(who.size());
    choose(who);
    points_.write(0, 0, count * points.size(), points.row(0));  // rows follow each other
    run_.members = count;
    samples_.place(0, 0, program_.batch);  // the first ones: all
    replay_.run({key_of(program_.executor->reserve(run_, *stream_)), key_of(count), samples_.address()}, [&] {
      StepTask task{};
      task.members = count;
      task.place = place_.data();
      task.seeds = seeds_.data();
      samples_.load(*stream_, program_, task);
      program_.executor->enqueue(vectors_, run_, *stream_, fault_.data());
    });
    program_.executor->check_fault(fault_.read(*stream_).at(0));
    const Vector& loss = *program_.at(program_.loss);
    Vector values(loss.dtype(), loss.rows(), loss.size());
    loss.read(0, 0, loss.rows() * loss.size(), values.row(0));
    for (int64_t r = 0; r < count; ++r) losses[r] = read_scalar(values, r);
    program_.at(program_.grad)->read(0, 0, count * gradients_.size(), gradients_.row(0));
    return gradients_;
  }

 private:
  // Rows of seeds and buffers become those of other members; a line search asks for the same ones many times.
  void choose(const std::vector<int64_t>& who) {
    if (who == chosen_) return;
    std::vector<uint64_t> seeds(o_.seeds.size());
    for (size_t r = 0; r < who.size(); ++r) {
      seeds[r] = o_.seeds[who[r]];
      if (trial_buffers_) trial_buffers_->copy_row(static_cast<int64_t>(r), *o_.buffers, who[r]);
    }
    if (seeds_.data() == nullptr) seeds_ = DeviceArray<uint64_t>(device_, static_cast<int64_t>(seeds.size()));
    seeds_.write(*stream_, seeds.data());
    chosen_ = who;
  }

  const TrainOptions& o_;
  const Device& device_;
  const BatchProgram& program_;
  RunOptions run_;
  const std::unique_ptr<DeviceStream> stream_;
  DeviceSamples samples_;
  const DeviceArray<StepPlace> place_;
  const DeviceArray<DeviceFault> fault_;
  DeviceArray<uint64_t> seeds_;
  Vector points_, gradients_;
  std::optional<Vector> trial_buffers_;  // of the members under way
  std::vector<Vector*> vectors_;
  std::vector<int64_t> chosen_;
  Replay replay_;
};

}  // namespace

std::unique_ptr<PointLosses> device_point_losses(const TrainOptions& options, const Device& device) {
  return std::make_unique<DevicePointLosses>(options, device);
}

}  // namespace ptmz
