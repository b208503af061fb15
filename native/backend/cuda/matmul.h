// Matmul: matrix products as cuBLAS takes them, and what is computed behind them.
#pragma once
#include <optional>

#include "backend/cuda/cublas_lt.h"

namespace ptmz::cuda {

// The product of a matmul launch, where it is large enough for cuBLAS and its strides are such as it reads.
std::optional<MatrixProduct> large_product(const DeviceLaunch& launch);

// Of a matmul launch whose instructions add one value to each column and are nothing else: these values, where they lie
// as cuBLASLt reads them.
std::optional<Bias> bias_behind(const DeviceLaunch& matmul);

// A matmul launch's instructions as a launch that follows the product.
class MapBehind {
 public:
  explicit MapBehind(const DeviceLaunch& matmul);
  MapBehind(const MapBehind&) = delete;
  const DeviceLaunch& launch() const { return given_; }

 private:
  const Launch map_;
  DeviceLaunch given_;
};

}  // namespace ptmz::cuda
