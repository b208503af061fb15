// One block for each of many small maps.
#include "backend/cuda/kernels/evaluate.h"
#include "backend/cuda/small_maps.h"

namespace ptmz::cuda {
namespace {

template <typename T>
__global__ void small_maps(PTMZ_PARAMETER(SmallMaps, task)) {
  PTMZ_DYNAMIC_SHARED(T, shared);
  Registers<T, 1> registers(shared);
  const SmallMap& map = task.maps[blockIdx.x];
  T* const out = reinterpret_cast<T*>(map.out + blockIdx.y * map.member_bytes);
  for (int i = static_cast<int>(threadIdx.x); i < map.count; i += static_cast<int>(blockDim.x)) {
    for (int r = 0; r < map.input_count; ++r) {
      const SmallInput& input = map.inputs[r];
      registers.at(r, 0) = input.base == nullptr
                               ? static_cast<T>(input.value)
                               : reinterpret_cast<const T*>(input.base + blockIdx.y * input.member_bytes)[i];
    }
    registers.run(task.instrs + map.instr_begin, map.instr_count);
    out[i] = registers.at(map.result_register, 0);
  }
}

}  // namespace

KernelOf<SmallMaps> small_maps_kernel(DType real) {
  return real == DType::f32 ? small_maps<float> : small_maps<double>;
}

}  // namespace ptmz::cuda
