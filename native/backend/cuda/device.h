// The CUDA devices of this machine, through libptmz_cuda where it can be loaded.
#pragma once
#include "backend/cuda/api.h"
#include "backend/device.h"

namespace ptmz::cuda {

// One entry per device, or one that says why there is none.
std::vector<DeviceDescription> describe();
// Throws CUDA_UNAVAILABLE with the reason. A device lives as long as the process.
const Device& open_device(int index);
// The same over a given library, which tests link.
const Device& open_device(const Api& api, int index);

}  // namespace ptmz::cuda
