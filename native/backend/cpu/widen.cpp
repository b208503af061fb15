// The round trip of a small convolution through float64.
#include "backend/cpu/widen.h"

namespace ptmz::cpu {

void run_widened(const Call& call, Kernel kernel) {
  char* free = static_cast<char*>(call.scratch);
  double* wide[3];
  for (int i = 0; i < 3; ++i) {
    const int64_t count = convolution_elements(call.launch, i);
    wide[i] = reinterpret_cast<double*>(free);
    free += round_up(count * 8, kCacheLine);
    if (i == 0) continue;
    const float* x = static_cast<const float*>(call.pointers[i]);
    for (int64_t j = 0; j < count; ++j) wide[i][j] = x[j];
  }
  void* const pointers[] = {wide[0], wide[1], wide[2]};
  Launch whole = call.launch;
  cut(whole, DType::f64);
  kernel({call.launch, call.instrs, pointers, 0, whole.blocks, free, call.fault});
  float* out = static_cast<float*>(call.pointers[0]);
  const int64_t count = convolution_elements(call.launch, 0);
  for (int64_t j = 0; j < count; ++j) out[j] = static_cast<float>(wide[0][j]);
}

}  // namespace ptmz::cpu
