// BatchRunner on a device: loading, running and adding up are recorded once per program and replayed batch after batch;
// the host waits when it reads the sums.
#include <map>

#include "runtime/replay.h"
#include "solvers/batch_runner.h"
#include "solvers/device_samples.h"

namespace ptmz {
namespace {

class DeviceBatchRunner final : public BatchRunner {
 public:
  DeviceBatchRunner(const Dataset& data, const Device& device)
      : device_(device),
        stream_(device.open_stream()),
        samples_(data, device, *stream_),
        place_(device, 1),
        replay_(*stream_) {}
  ~DeviceBatchRunner() override { finish(); }
  const Device* device() const override { return &device_; }

  void run(const BatchProgram& program, const std::vector<Vector*>& vectors, int64_t first, const RunOptions& options,
           const std::vector<Addition>& additions) override {
    StepTask task{};
    task.code = StepCode::set_place;
    task.members = 1;
    task.place = place_.data();
    task.next_place.first = samples_.place(0, first, program.batch);
    stream_->step(task);
    RunOptions whole = options;
    whole.stop = nullptr;  // the caller stops between batches
    Replay::Key key{program.executor, key_of(program.executor->reserve(whole, *stream_)), key_of(options.members),
                    samples_.address()};
    for (const Vector* v : vectors) key.push_back(v ? v->row(0) : nullptr);
    for (const Addition& a : additions) key.push_back(a.sums->row(0));
    DeviceArray<DeviceFault>& fault = faults_.try_emplace(program.executor, device_, 1).first->second;
    replay_.run(key, [&] {
      samples_.load(*stream_, program, task);
      program.executor->enqueue(vectors, whole, *stream_, fault.data());
      for (const Addition& a : additions) add(a);
    });
  }
  void clear(Vector& sums) override { stream_->zero(sums.row(0), sums.bytes()); }
  std::vector<double> read(const Vector& sums) override {
    std::vector<double> values(sums.rows() * sums.size());
    stream_->read(values.data(), sums.row(0), sums.bytes());
    for (const auto& [executor, fault] : faults_) executor->check_fault(fault.read(*stream_).at(0));
    return values;
  }

 private:
  void add(const Addition& a) {
    StepTask task{};
    task.code = StepCode::add_rows;
    task.real = a.values->dtype();
    task.members = a.sums->rows();
    task.count = a.values->size();
    task.to = rows_of(a.sums);
    task.from = rows_of(a.values);
    task.weight = a.weight;
    task.column = a.column;
    stream_->step(task);
  }
  // Programs and vectors may go as soon as this is gone.
  void finish() noexcept {
    try {
      stream_->wait();
    } catch (const std::exception&) {  // whoever reads has been told
    }
  }

  const Device& device_;
  const std::unique_ptr<DeviceStream> stream_;
  DeviceSamples samples_;
  DeviceArray<StepPlace> place_;
  std::map<Executor*, DeviceArray<DeviceFault>> faults_;
  Replay replay_;
};

}  // namespace

std::unique_ptr<BatchRunner> open_device_batches(const Dataset& data, const Device& device) {
  return std::make_unique<DeviceBatchRunner>(data, device);
}

}  // namespace ptmz
