// PointLosses on the CPU.
#include "solvers/point_losses.h"

#include <optional>

#include "solvers/train_steps.h"

namespace ptmz {
namespace {

class CpuPointLosses final : public PointLosses {
 public:
  explicit CpuPointLosses(const TrainOptions& options)
      : o_(options),
        program_(program_of_all_samples(options)),
        threads_(options.run.threads > 0 ? options.run.threads : hardware_threads()),
        normaliser_(options.train) {
    if (o_.buffers) trial_buffers_.emplace(o_.buffers->dtype(), o_.buffers->rows(), o_.buffers->size());
  }

  const Vector& evaluate(const std::vector<int64_t>& who, Vector& points, std::vector<double>& losses) override {
    const int64_t count = static_cast<int64_t>(who.size());
    std::vector<Vector*> vectors = program_.vectors;
    vectors.at(program_.params) = &points;
    if (trial_buffers_ && program_.buffers >= 0) vectors[program_.buffers] = &*trial_buffers_;
    parallel_for(threads_, count, [&](int64_t r, int) {
      if (trial_buffers_) trial_buffers_->copy_row(r, *o_.buffers, who[r]);
      load_batch(program_, o_.train, normaliser_, nullptr, 0, r);
      write_key(program_, r, o_.seeds[who[r]], 0, 0);
    });
    RunOptions run = o_.run;
    run.members = count;
    run.rows = o_.params->rows();
    program_.executor->run(vectors, run);
    for (int64_t r = 0; r < count; ++r) losses[r] = read_scalar(*program_.at(program_.loss), r);
    return *program_.at(program_.grad);
  }

 private:
  const TrainOptions& o_;
  const BatchProgram& program_;
  const int threads_;
  const Normaliser normaliser_;
  std::optional<Vector> trial_buffers_;  // of the members under way
};

}  // namespace

std::unique_ptr<PointLosses> cpu_point_losses(const TrainOptions& options) {
  return std::make_unique<CpuPointLosses>(options);
}

}  // namespace ptmz
