// Levels: the sets of kernels that the kernel tests are run on - the CPU's SIMD levels, or in ptmz_cuda_tests the CUDA
// kernels on the emulated device.
#pragma once
#include "backend/cpu/simd.h"

namespace ptmz::test {

#ifdef PTMZ_CUDA_ON_HOST
inline constexpr bool kOnCuda = true;
std::vector<std::string> levels();
const cpu::KernelTable& kernels_of(const std::string& level);
#else
inline constexpr bool kOnCuda = false;
inline std::vector<std::string> levels() { return cpu::simd_levels(); }
inline const cpu::KernelTable& kernels_of(const std::string& level) { return cpu::kernels_of(level); }
#endif

}  // namespace ptmz::test
