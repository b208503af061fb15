// What the machine can still give: the smaller of free memory and what a memory cgroup leaves.
#pragma once
#include <cstdint>

namespace ptmz {

int64_t available_memory();

}  // namespace ptmz
