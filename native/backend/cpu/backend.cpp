// CpuBackend: cuts launches by their shapes and runs their blocks with the kernels of the SIMD level in use.
#include "backend/backend.h"

#include "backend/cpu/simd.h"
#include "backend/cpu/widen.h"
#include "ir/error.h"

namespace ptmz {

namespace {

class CpuBackend final : public Backend {
 public:
  const char* name() const override { return "cpu"; }

  void prepare(Launch& launch, DType real) const override { cpu::cut(launch, real); }

  void run(const Launch& launch, const Instr* instrs, DType real, void* const* pointers, int64_t begin, int64_t end,
           void* scratch, KernelFault& fault) const override {
    const bool widened = cpu::is_widened(launch, real);
    const auto& table = real == DType::f32 && !widened ? kernels_.f32 : kernels_.f64;
    const cpu::Kernel kernel = table[static_cast<int>(launch.code)];
    if (!kernel) throw Error("INVALID_ARGUMENT", std::string("the CPU has no kernel for ") + ptmz::name(launch.code));
    const cpu::Call call{launch, instrs, pointers, begin, end, scratch, fault};
    widened ? cpu::run_widened(call, kernel) : kernel(call);
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
