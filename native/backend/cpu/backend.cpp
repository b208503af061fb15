// CpuBackend: cuts launches by their shapes and runs their blocks with the kernels of the SIMD level in use.
#include "backend/backend.h"

#include "backend/cpu/simd.h"
#include "backend/cpu/widen.h"

namespace ptmz {

namespace {

class CpuBackend final : public Backend {
 public:
  const char* name() const override { return "cpu"; }

  int64_t partial_results(const Launch& launch) const override {
    if (launch.code == LaunchCode::layer_norm_backward_sums) return cpu::row_parts(launch.shape[0]);
    return launch.code == LaunchCode::conv2d_weight ? cpu::weight_parts(cpu::read_convolution(launch)) : 1;
  }

  bool maps_behind_products() const override { return true; }

  // Eight float32 fill half a vector of AVX-512: more images than that are better in whole ones, though more lanes may
  // stay without an image.
  int64_t image_lanes(int64_t images, DType real) const override {
    if (images == 0) return 0;
    return real == DType::f32 && kernels_.vector_bytes == 64 && images > 8 ? 16 : 8;
  }

  void prepare(Launch& launch, DType real) const override { cpu::cut(launch, real); }

  void run(const Launch& launch, const Instr* instrs, DType real, void* const* pointers, int64_t begin, int64_t end,
           void* scratch, KernelFault& fault) const override {
    cpu::run_blocks(kernels_, real, {launch, instrs, pointers, begin, end, scratch, fault});
  }

 private:
  const cpu::KernelTable& kernels_ = cpu::kernels();
};

}  // namespace

Backend& cpu_backend() {
  static CpuBackend backend;
  return backend;
}

}  // namespace ptmz
