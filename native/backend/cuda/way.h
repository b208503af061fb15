// Way: by which kernels a convolution is computed. It follows from shapes alone - never from the members or the device
// - and from whether there is cuBLAS.
#pragma once
#include <optional>
#include <string_view>

#include "backend/launch.h"

namespace ptmz::cuda {

enum class Way {
  tiles,    // an implicit product on ordinary cores, kernels/contractions.cu; takes everything
  narrow,   // a thread for all channels of a pixel, kernels/narrow.cu
  columns,  // images written out as columns, and one large product by cuBLAS, columns.h
};

// What PTMZ_CUDA_CONVOLUTIONS may say.
inline std::optional<Way> way_named(std::string_view name) {
  if (name == "tiles") return Way::tiles;
  if (name == "narrow") return Way::narrow;
  if (name == "columns") return Way::columns;
  return std::nullopt;
}

inline bool is_convolution(LaunchCode code) {
  return code == LaunchCode::conv2d || code == LaunchCode::conv2d_input || code == LaunchCode::conv2d_weight;
}

Way way_of(const Launch& launch, DType real, bool library);

// What one member's columns may take: the largest part of the scratch of a network. A chunk of images that fits is
// written by one kernel and read by the next, so it should stay in the cache of a large card (50 MB of an H100).
inline constexpr int64_t kColumnsBytes = int64_t{32} << 20;
int64_t columns_bytes();

// For tests and measurements: this way wherever it is possible, and less room for columns.
void force_way(std::optional<Way> way, int64_t columns_bytes = kColumnsBytes);

}  // namespace ptmz::cuda
