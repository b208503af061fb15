// DeviceLaunch: one launch with the addresses it works on, for all members of a chunk at once.
#pragma once
#include <cstdint>

#include "backend/launch.h"

namespace ptmz {

// What a kernel found wrong in its data first; lies in device memory. `launch` counts from 1, 0: nothing.
struct DeviceFault {
  int32_t launch, member;
  int64_t value, limit;
};

struct DeviceLaunch {
  const Launch* launch;
  const Instr* instrs;  // of the whole program
  DType real;
  int32_t number;                      // for faults: the launch's place in the program
  int64_t members;                     // at most kMaxDeviceMembers
  void* pointers[kMaxOperands];        // element 0 of the first member; null: an immediate
  int64_t member_bytes[kMaxOperands];  // from one member to the next; 0: shared
  void* scratch;                       // members * launch->scratch_bytes
  uint32_t* tickets;                   // members * launch->tickets, zero before and after every launch
  DeviceFault* fault;
};
inline constexpr int64_t kMaxDeviceMembers = 65535;

}  // namespace ptmz
