// The round trip of a small convolution through float64.
#include "backend/cpu/widen.h"

#include "ir/error.h"

namespace ptmz::cpu {
namespace {

// A widened launch is one block: the whole of it.
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
  Launch launch = call.launch;
  cut_for_kernel(launch, DType::f64);
  void* const pointers[] = {wide[0], wide[1], wide[2]};
  kernel({launch, call.instrs, pointers, 0, launch.blocks, free, call.fault});
  float* out = static_cast<float*>(call.pointers[0]);
  const int64_t count = convolution_elements(launch, 0);
  for (int64_t j = 0; j < count; ++j) out[j] = static_cast<float>(wide[0][j]);
}

}  // namespace

void run_blocks(const KernelTable& kernels, DType real, const Call& call) {
  const bool widened = is_widened(call.launch, real);
  const Kernel kernel =
      (real == DType::f32 && !widened ? kernels.f32 : kernels.f64)[static_cast<int>(call.launch.code)];
  if (!kernel) throw Error("INVALID_ARGUMENT", std::string("the CPU has no kernel for ") + name(call.launch.code));
  if (call.begin == call.end) return;
  widened ? run_widened(call, kernel) : kernel(call);
}

}  // namespace ptmz::cpu
