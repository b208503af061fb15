// Loading libptmz_cuda: it lies beside the addon, or where PTMZ_CUDA_LIBRARY says.
#pragma once
#include <string>

#include "backend/cuda/api.h"

namespace ptmz::cuda {

struct LoadedLibrary {
  const Api* api;      // null: see `reason`
  std::string reason;  // why there is none
  std::string path;
};
// Loaded at the first call; the answer stays the same from then on.
const LoadedLibrary& loaded_library();

// The same without memory, of a library at a path.
LoadedLibrary load_library(const std::string& path);

}  // namespace ptmz::cuda
