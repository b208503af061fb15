// Small data sets on the emulated CUDA device and the host, and who loads them.
#pragma once
#include <cmath>
#include <memory>
#include <vector>

#include "backend/cuda/device.h"
#include "solvers/dataset.h"

extern "C" const ptmz::cuda::Api* ptmz_cuda_api();

namespace ptmz::test {

inline const Device& emulated() { return cuda::open_device(*ptmz_cuda_api(), 0); }

inline const uint64_t kSeeds[] = {5, uint64_t{1} << 40, 77};
constexpr int64_t kMembers = 3;

inline std::vector<char> bytes_of(const Vector& v) {
  std::vector<char> bytes(static_cast<size_t>(v.bytes()));
  v.read(0, 0, v.rows() * v.size(), bytes.data());
  return bytes;
}

// Samples of 3 x 5 x 7 pixels, or of 4 tokens that overlap.
struct Samples {
  static constexpr int64_t kCount = 300;
  std::unique_ptr<Vector> stored, labels;
  Dataset data;

  explicit Samples(DType dtype) {
    data.count = kCount;
    if (dtype == DType::i32) {
      data.window = 4;
      data.stride = 3;
      stored = std::make_unique<Vector>(dtype, 1, kCount * 3 + 5);
      for (int64_t i = 0; i < stored->size(); ++i) stored->as<int32_t>()[i] = static_cast<int32_t>(i * i % 1009);
    } else {
      data.channels = 3;
      data.plane = 35;
      data.mean = {0.3, 0.45, 0.61};
      data.deviation = {0.21, 0.5, 1.7};
      stored = std::make_unique<Vector>(dtype, 1, kCount * 105);
      labels = std::make_unique<Vector>(DType::i32, 1, kCount);
      for (int64_t i = 0; i < stored->size(); ++i) {
        if (dtype == DType::u8) stored->as<uint8_t>()[i] = static_cast<uint8_t>(i * 37 % 251 + 1);
        if (dtype == DType::f32) stored->as<float>()[i] = std::sin(0.7f * static_cast<float>(i));
      }
      for (int64_t i = 0; i < kCount; ++i) labels->as<int32_t>()[i] = static_cast<int32_t>(i % 10);
      data.labels = labels.get();
    }
    data.resident = stored.get();
  }
};

}  // namespace ptmz::test
