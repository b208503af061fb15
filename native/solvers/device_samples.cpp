// Copies of samples on a device, and the tasks that load batches from them.
#include "solvers/device_samples.h"

#include <algorithm>
#include <string>

#include "ir/error.h"

namespace ptmz {

DeviceSamples::DeviceSamples(const Dataset& data, const Device& device, DeviceStream& stream) : data_(data) {
  const Normaliser normaliser(data);  // checks the layout
  if (data.file)
    throw Error("UNSUPPORTED",
                std::string("data: tokens that stay in a file are read on the cpu only, got ") + device.name());
  if (!data.resident) return;
  samples_ = data.resident->copy_on(device);
  if (data.labels) labels_ = data.labels->copy_on(device);
  table32_ = DeviceArray<float>(device, stream, normaliser.table<float>());
  table64_ = DeviceArray<double>(device, stream, normaliser.table<double>());
  mean_ = DeviceArray<double>(device, stream, data.mean);
  deviation_ = DeviceArray<double>(device, stream, data.deviation);
  fill_ = DeviceArray<double>(device, stream, data.fill);
}

void DeviceSamples::load(DeviceStream& stream, const BatchProgram& program, StepTask task) const {
  const Vector *x = program.at(program.x), *y = program.at(program.y), *key = program.at(program.key);
  const auto run = [&](StepCode code, int64_t count) {
    task.code = code;
    task.count = count;
    stream.step(task);
  };
  task.samples = samples_ ? samples_->data() : nullptr;
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
