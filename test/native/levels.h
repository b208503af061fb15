// Levels: the sets of kernels that the kernel tests are run on - the CPU's SIMD levels, or in ptmz_cuda_tests the CUDA
// kernels on the emulated device.
#pragma once
#include <string>
#include <vector>

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

// The emulated device takes about a hundred times as long as a kernel of the CPU: random cases are fewer there, and
// cases that are only large are left out.
inline int rounds(int count) { return kOnCuda ? (count + 5) / 6 : count; }
// Every seventh case of many: no loop over cases has that period.
inline bool sampled() {
  static int call = 0;
  return !kOnCuda || call++ % 7 == 0;
}
inline bool affordable(int64_t work) { return !kOnCuda || work <= 20000; }

}  // namespace ptmz::test
