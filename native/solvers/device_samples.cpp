// Copies of samples on a device, and the tasks that load batches from them.
#include "solvers/device_samples.h"

#include <algorithm>
#include <string>

#include "ir/error.h"

namespace ptmz {

namespace {

constexpr int64_t kWholeFileBytes = int64_t{1} << 28;

// Up to how many bytes of tokens lie on a device as a whole.
int64_t whole_file_bytes() { return environment_number("PTMZ_CUDA_TOKEN_BYTES", 0, kWholeFileBytes); }

// All tokens that the windows of `data` show, in a device's memory; empty where they are too many.
Buffer tokens_of(const Dataset& data, const Device& device, DeviceStream& stream) {
  const int64_t count = (data.count - 1) * data.stride + data.window + 1;
  const int64_t bytes = count * static_cast<int64_t>(sizeof(int32_t));
  if (bytes > whole_file_bytes()) return {};
  Buffer buffer(bytes, &device);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  data.file->read(0, count, tokens.data());
  stream.write(buffer.data(), tokens.data(), bytes);
  return buffer;
}

}  // namespace

DeviceSamples::DeviceSamples(const Dataset& data, const Device& device, DeviceStream& stream, WindowReaders readers)
    : data_(data), device_(device), stream_(stream), readers_(std::move(readers)) {
  const Normaliser normaliser(data);  // checks the layout
  if (data.file) tokens_ = tokens_of(data, device, stream);
  if (!data.resident) return;
  samples_ = data.resident->copy_on(device);
  if (data.labels) labels_ = data.labels->copy_on(device);
  table32_ = DeviceArray<float>(device, stream, normaliser.table<float>());
  table64_ = DeviceArray<double>(device, stream, normaliser.table<double>());
  mean_ = DeviceArray<double>(device, stream, data.mean);
  deviation_ = DeviceArray<double>(device, stream, data.deviation);
  fill_ = DeviceArray<double>(device, stream, data.fill);
}

int64_t DeviceSamples::place(int64_t epoch, int64_t first, int64_t count) {
  if (!in_windows()) return first;
  readers_.batch = std::max(readers_.batch, count);
  if (!windows_ || windows_->row() < count)
    windows_ = std::make_unique<TokenWindows>(data_, device_, stream_, readers_);
  return windows_->bring(epoch, first, count);
}

void DeviceSamples::load(DeviceStream& stream, const BatchProgram& program, StepTask task) const {
  const Vector *x = program.at(program.x), *y = program.at(program.y), *key = program.at(program.key);
  const auto run = [&](StepCode code, int64_t count) {
    task.code = code;
    task.count = count;
    stream.step(task);
  };
  task.samples = samples_ ? samples_->data() : tokens_.data();
  task.labels = labels_ ? static_cast<const int32_t*>(labels_->data()) : nullptr;
  task.sample_count = data_.count;
  task.channels = data_.channels;
  task.plane = data_.plane;
  task.window = data_.window;
  task.stride = data_.stride;
  task.mean = mean_.data();
  task.deviation = deviation_.data();
  task.ops = data_.ops;
  task.fill = fill_.data();
  task.batch = program.batch;
  task.x = rows_of(x);
  task.y = rows_of(y);
  task.key = task.seeds ? rows_of(key) : StepRows{};
  if (data_.resident) task.stored = data_.resident->dtype();
  if (windows_) {
    task.samples = windows_->data();
    task.stride = data_.window + 1;
    task.member_samples = windows_->shared() ? 0 : windows_->row();
  }
  if (data_.window > 0) {
    if (x || y) run(StepCode::load_tokens, program.batch * data_.window);
  } else if (x) {
    task.real = x->dtype();
    task.table = task.real == DType::f64 ? static_cast<const void*>(table64_.data()) : table32_.data();
    if (task.draws) run(StepCode::draw_images, program.batch);
    if (task.coloured) run(StepCode::recolour, program.batch);
    run(StepCode::load_images, program.batch * data_.sample_size());
  }
  const bool labels = y && data_.labels;
  if (labels || task.key.data) run(StepCode::load_labels, labels ? program.batch : 1);
}

}  // namespace ptmz
