// BatchRunner on the CPU.
#include "solvers/batch_runner.h"

#include <algorithm>

#include "backend/backend.h"

namespace ptmz {
namespace {

constexpr int64_t kParallelFrom = 65536;  // elements below which threads cost more than they bring

class CpuBatchRunner final : public BatchRunner {
 public:
  explicit CpuBatchRunner(const Dataset& data) : data_(data), normaliser_(data_) {}
  const Device* device() const override { return nullptr; }

  void run(const BatchProgram& program, const std::vector<Vector*>& vectors, int64_t first, const RunOptions& options,
           const std::vector<Addition>& additions) override {
    load_batch(program, data_, normaliser_, nullptr, first, 0);
    program.executor->run(vectors, options);
    const int threads = options.threads > 0 ? options.threads : hardware_threads();
    for (const Addition& a : additions) {
      const int64_t rows = a.sums->rows(), n = a.values->size();
      parallel_for(rows * n < kParallelFrom ? 1 : threads, rows, [&](int64_t row, int) {
        double* sum = a.sums->as<double>(row) + a.column;
        const int64_t from = a.values->rows() == 1 ? 0 : row;
        for (int64_t i = 0; i < n; ++i) sum[i] += a.weight * read_real(*a.values, from, i);
      });
    }
  }
  void clear(Vector& sums) override { std::fill_n(sums.as<double>(), sums.rows() * sums.size(), 0.0); }
  std::vector<double> read(const Vector& sums) override {
    const double* values = sums.as<double>();
    return {values, values + sums.rows() * sums.size()};
  }

 private:
  const Dataset data_;
  const Normaliser normaliser_;
};

}  // namespace

std::unique_ptr<BatchRunner> open_batches(const Dataset& data, const Device* device) {
  return device ? open_device_batches(data, *device) : std::make_unique<CpuBatchRunner>(data);
}

const Device* device_of(const BatchProgram& batch, const BatchProgram& tail) {
  const Executor* executor = batch.executor ? batch.executor : tail.executor;
  return executor ? executor->program().backend->device() : nullptr;
}

}  // namespace ptmz
