// Backend: the small interface behind which kernels live. The CPU implements it here, CUDA in libptmz_cuda.
#pragma once
#include <cstdint>
#include <string>

#include "backend/launch.h"

namespace ptmz {

// Faults that a kernel finds in data (an index out of range); the executor turns them into typed errors.
struct KernelFault {
  int32_t launch = -1;
  int64_t value = 0, limit = 0;
};

class Device;

// How the images (N,C,H,W) of convolutions lie in memory.
enum class ImageOrder {
  as_written,
  channels_outermost,  // C, N, H, W: all pixels of a channel are one row of a matrix
  channels_last,       // N, H, W, C: all channels of a pixel are
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;
  // Into how many partial results a launch should be cut so that threads can share it; lowering adds them up.
  virtual int64_t partial_results(const Launch&) const { return 1; }
  // Whether its matrix products run the elementwise instructions that follow them (Groups::products).
  virtual bool maps_behind_products() const { return false; }
  // The SIMD lanes that its convolutions want so many images in (compile/view.h); 0: they want plain tensors.
  virtual int64_t image_lanes(int64_t /*images*/, DType) const { return 0; }
  // The order in which its convolutions want images of so many channels.
  virtual ImageOrder image_order(int64_t /*channels*/) const { return ImageOrder::as_written; }
  // Whether it can multiply in less than the program's own precision.
  virtual bool has_reduced_precision() const { return false; }
  // This backend if it has memory of its own (device.h), else null: programs then run on the host's.
  virtual const Device* device() const { return nullptr; }
  // Fills `blocks`, `scratch_bytes` and `tickets` of a launch from its shapes alone.
  virtual void prepare(Launch& launch, DType real) const = 0;
  // Runs blocks [begin, end). pointers[i] is the address of operand i's element 0 (offset and member already added).
  virtual void run(const Launch& launch, const Instr* instrs, DType real, void* const* pointers, int64_t begin,
                   int64_t end, void* scratch, KernelFault& fault) const = 0;
};

Backend& cpu_backend();

}  // namespace ptmz
