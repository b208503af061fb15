// Widening: convolutions too small for their arithmetic to cost anything are computed in float64 and rounded once, so
// that float32 results of small problems are as exact as float32 can hold.
#pragma once
#include "backend/cpu/contraction_plan.h"
#include "backend/cpu/kernel.h"

namespace ptmz::cpu {

// Below this a launch costs its overhead, whatever it computes in.
static inline bool is_widened(const Launch& launch, DType real) {
  const bool convolution = launch.code == LaunchCode::conv2d || launch.code == LaunchCode::conv2d_input ||
                           launch.code == LaunchCode::conv2d_weight;
  if (!convolution || real != DType::f32) return false;
  const Convolution s = read_convolution(launch);
  return s.lanes == 0 && s.work() < kTinyWork;
}

// Elements of operand i of a convolution.
static inline int64_t convolution_elements(const Launch& launch, int operand) {
  const Convolution s = read_convolution(launch);
  const int64_t x = s.n * s.c * s.h * s.w, w = s.o * s.group_c() * s.taps(), y = s.n * s.o * s.oh * s.ow;
  const int64_t by_code[3][3] = {{y, x, w}, {x, w, y}, {w, x, y}};
  return by_code[static_cast<int>(launch.code) - static_cast<int>(LaunchCode::conv2d)][operand];
}

// Scratch for the three operands in float64, before the kernel's own.
static inline int64_t widened_bytes(const Launch& launch) {
  int64_t bytes = 0;
  for (int i = 0; i < 3; ++i) bytes += round_up(convolution_elements(launch, i) * 8, kCacheLine);
  return bytes;
}

// Runs blocks of a launch with a level's kernels, in float64 where is_widened says so.
void run_blocks(const KernelTable& kernels, DType real, const Call& call);

}  // namespace ptmz::cpu
