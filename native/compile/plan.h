// Plan: where every intermediate value lives, first fit over liveness, in place where a launch allows it.
#pragma once
#include <cstdint>
#include <vector>

#include "backend/launch.h"

namespace ptmz {

// A value that lowering created, before it has an address. Launches name it by kFirstValue + its number.
struct PlannedValue {
  int64_t bytes;
  bool varies;
};
inline constexpr int32_t kFirstValue = 1 << 20;

struct Plan {
  int64_t shared_bytes, member_bytes;
};

// Assigns arena offsets and rewrites the operands of both lists from values to arena addresses
// (buffer 0: shared, 1: member). `real_bytes`: size of a real element.
Plan plan_memory(const std::vector<PlannedValue>& values, std::vector<Launch>& shared, std::vector<Launch>& varying,
                 int64_t real_bytes);

}  // namespace ptmz
