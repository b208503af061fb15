// SIMD levels: which copies of the kernels this machine can run, and the one in use.
#pragma once
#include <string>
#include <vector>

#include "backend/cpu/kernel.h"

namespace ptmz::cpu {

// Levels that this CPU can run, slowest first: portable, avx2, avx512.
std::vector<std::string> simd_levels();
// The kernels of a level. Throws INVALID_ARGUMENT naming the available ones.
const KernelTable& kernels_of(const std::string& level);
// The kernels in use: the best level, or the one that the environment variable PTMZ_SIMD names (read once).
const KernelTable& kernels();

}  // namespace ptmz::cpu
