// CpuBackend: cuts launches by their shapes and runs their blocks with the kernels of the SIMD level in use.
#include "backend/backend.h"

#include "backend/cpu/simd.h"
#include "ir/error.h"

namespace ptmz {

namespace {

class CpuBackend final : public Backend {
 public:
  const char* name() const override { return "cpu"; }

  void prepare(Launch& launch, DType real) const override { cpu::cut(launch, real); }

  void run(const Launch& launch, const Instr* instrs, DType real, void* const* pointers, int64_t begin, int64_t end,
           void* scratch, KernelFault& fault) const override {
    const cpu::KernelTable& table = kernels_;
    const cpu::Kernel kernel = (real == DType::f32 ? table.f32 : table.f64)[static_cast<int>(launch.code)];
    if (!kernel) throw Error("INVALID_ARGUMENT", std::string("the CPU has no kernel for ") + ptmz::name(launch.code));
    kernel({launch, instrs, pointers, begin, end, scratch, fault});
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
