// Packs small maps into the parameters of as few launches as they fit into.
#include "backend/cuda/small_maps.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/cut.h"

namespace ptmz::cuda {

bool SmallMapsPacker::takes(const Launch& l) {
  return l.code == LaunchCode::map && l.operand_count <= 1 + kSmallInputs && l.instr_count <= kSmallInstrs &&
         registers_of(l) <= kSmallRegisters;
}

cudaError_t SmallMapsPacker::add(const DeviceLaunch& given) {
  const bool other = pack_.count > 0 && (given.members != members_ || given.real != real_);
  const cudaError_t error = other || !has_room(given) ? flush() : cudaSuccess;
  if (error != cudaSuccess) return error;
  members_ = given.members;
  real_ = given.real;
  const Launch& l = *given.launch;
  SmallMap& map = pack_.maps[pack_.count++];
  map.out = static_cast<char*>(given.pointers[0]);
  map.member_bytes = given.member_bytes[0];
  map.count = static_cast<int32_t>(product(l.shape, 0, l.rank));
  map.input_count = static_cast<uint8_t>(l.operand_count - 1);
  for (int i = 1; i < l.operand_count; ++i) {
    SmallInput& input = map.inputs[i - 1];
    input.base = static_cast<const char*>(given.pointers[i]);
    if (input.base == nullptr)
      input.value = l.operands[i].value;
    else
      input.member_bytes = given.member_bytes[i];
  }
  map.instr_begin = static_cast<uint8_t>(place_of(given));
  map.instr_count = static_cast<uint8_t>(l.instr_count);
  map.result_register = static_cast<uint8_t>(l.result_register);
  return cudaSuccess;
}

cudaError_t SmallMapsPacker::flush() {
  if (pack_.count == 0 || members_ == 0) return cudaSuccess;
  void* arguments[] = {&pack_};
  const dim3 grid(static_cast<unsigned>(pack_.count), static_cast<unsigned>(members_));
  const size_t shared = static_cast<size_t>(kSmallRegisters * kThreads * (real_ == DType::f64 ? 8 : 4));
  const cudaError_t error =
      cudaLaunchKernel(small_maps_kernel(real_), grid, dim3(kThreads), arguments, shared, stream_);
  pack_.count = 0;
  instrs_ = 0;
  return error;
}

bool SmallMapsPacker::has_room(const DeviceLaunch& given) {
  const int before = instrs_, place = place_of(given);
  if (place < 0) instrs_ = before;
  return place >= 0 && pack_.count < kSmallMaps;
}

// Where the instructions of a map stand, once they do; -1: there is no room for them.
int SmallMapsPacker::place_of(const DeviceLaunch& given) {
  const Launch& l = *given.launch;
  const Instr* own = given.instrs + l.instr_begin;
  const auto same = [](const Instr& a, const Instr& b) {
    return a.op == b.op && a.comparison == b.comparison && a.subtracts == b.subtracts && a.out == b.out && a.a == b.a &&
           a.b == b.b && a.c == b.c && std::memcmp(&a.value, &b.value, sizeof a.value) == 0;
  };
  for (int at = 0; at + l.instr_count <= instrs_; ++at)
    if (std::equal(own, own + l.instr_count, pack_.instrs + at, same)) return at;
  if (instrs_ + l.instr_count > kSmallInstrs) return -1;
  std::copy(own, own + l.instr_count, pack_.instrs + instrs_);
  instrs_ += l.instr_count;
  return instrs_ - l.instr_count;
}

}  // namespace ptmz::cuda
