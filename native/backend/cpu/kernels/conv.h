// The convolution kernels of this SIMD level.
#pragma once
#include "backend/cpu/kernel.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {

void add_gather_convolutions(KernelTable&);  // conv2d, conv2d_input
void add_weight_convolution(KernelTable&);   // conv2d_weight

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
