// SmallMaps: several maps of a few elements in one launch, as plain data that fits a kernel's parameters.
#pragma once
#include "backend/cuda/runtime.h"

namespace ptmz::cuda {

inline constexpr int kSmallMaps = 35, kSmallInstrs = 24, kSmallInputs = 5, kSmallRegisters = 12;

// Operands are dense; one without a base is its value.
struct SmallInput {
  const char* base;
  union {
    int64_t member_bytes;
    double value;
  };
};
struct SmallMap {
  char* out;
  int64_t member_bytes;
  SmallInput inputs[kSmallInputs];
  int32_t count;
  uint8_t input_count, instr_begin, instr_count, result_register;
};
struct SmallMaps {
  int32_t count;
  Instr instrs[kSmallInstrs];  // maps of the same instructions share them
  SmallMap maps[kSmallMaps];
};
static_assert(sizeof(SmallMaps) <= 4096, "kernel parameters are limited to 4 KB");

KernelOf<SmallMaps> small_maps_kernel(DType real);  // kernels/small_maps.cu: a block for each map

// Collects maps that have no order among themselves and puts them on a stream, as few launches as they fit into.
class SmallMapsPacker {
 public:
  explicit SmallMapsPacker(cudaStream_t stream) : stream_(stream) {}
  static bool takes(const Launch& launch);
  cudaError_t add(const DeviceLaunch& launch);
  cudaError_t flush();

 private:
  bool has_room(const DeviceLaunch& launch);
  int place_of(const DeviceLaunch& launch);

  const cudaStream_t stream_;
  SmallMaps pack_{};
  int instrs_ = 0;
  int64_t members_ = 0;
  DType real_ = DType::f32;
};

}  // namespace ptmz::cuda
