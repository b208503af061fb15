// Matmul: matrix products as cuBLAS takes them.
#pragma once
#include <optional>

#include "backend/cuda/cublas.h"

namespace ptmz::cuda {

// The product of a matmul launch, where it is large enough for cuBLAS and its strides are such as it reads.
std::optional<MatrixProduct> large_product(const DeviceLaunch& launch);

}  // namespace ptmz::cuda
