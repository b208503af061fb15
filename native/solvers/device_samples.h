// DeviceSamples: a data set on a device - as a whole, or of a large file of tokens the windows that are next - and its
// way into the batches of programs there.
#pragma once
#include <cstring>
#include <memory>
#include <vector>

#include "backend/device.h"
#include "solvers/batches.h"
#include "solvers/token_windows.h"

namespace ptmz {

// Numbers that kernels read and the host rarely does. Its copies wait for the stream.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  // `count` zeros.
  DeviceArray(const Device& device, int64_t count) : buffer_(count * static_cast<int64_t>(sizeof(T)), &device) {}
  DeviceArray(const Device& device, DeviceStream& stream, const std::vector<T>& values)
      : DeviceArray(device, static_cast<int64_t>(values.size())) {
    write(stream, values.data());
  }
  T* data() const { return static_cast<T*>(buffer_.data()); }
  void write(DeviceStream& stream, const T* values) { stream.write(data(), values, buffer_.bytes()); }
  std::vector<T> read(DeviceStream& stream) const {
    std::vector<T> values(static_cast<size_t>(buffer_.bytes()) / sizeof(T));
    stream.read(values.data(), data(), buffer_.bytes());
    return values;
  }

 private:
  Buffer buffer_;
};

// A vector's rows for kernels; one that has a single row has it for all members.
inline StepRows rows_of(const Vector* v) {
  if (!v) return {};
  return {v->row(0), v->rows() == 1 ? 0 : v->size() * dtype_bytes(v->dtype())};
}

class DeviceSamples {
 public:
  // Samples and labels are copied to the device, unless they have been there before. `stream`: where batches are
  // loaded; `readers` matters where a file is read in windows.
  DeviceSamples(const Dataset& data, const Device& device, DeviceStream& stream, WindowReaders readers = {});
  // Whether order is the readers' own business: batches hold what place() has brought.
  bool in_windows() const { return data_.file && !tokens_.data(); }
  // Where samples [first, first + count) of the epoch begin for what the stream is given from now on; StepPlace::first.
  int64_t place(int64_t epoch, int64_t first, int64_t count);
  // What else recordings of load() depend on.
  const void* address() const { return windows_ ? windows_->data() : nullptr; }
  // Puts the loading of a batch of `program` on the stream. `task` holds the place and, where each member has its own
  // samples, what these depend on: order, seeds, augmentation and room for what is drawn and coloured.
  void load(DeviceStream& stream, const BatchProgram& program, StepTask task) const;

 private:
  const Dataset data_;
  const Device& device_;
  DeviceStream& stream_;
  WindowReaders readers_;
  std::unique_ptr<TokenWindows> windows_;
  Buffer tokens_;  // all that are read of a small file
  std::shared_ptr<const Buffer> samples_, labels_;
  DeviceArray<float> table32_;
  DeviceArray<double> table64_, mean_, deviation_, fill_;
};

}  // namespace ptmz
