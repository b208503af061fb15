// Together: small maps that a device can run as one launch. They are what a training step has most of: running
// statistics and the gradients of norms are vectors of a few channels, and each would cost a launch of its own.
#pragma once
#include "compile/plan.h"

namespace ptmz {

// Moves to the end of the list the small maps that nothing else waits for: they write parts of output slots that are
// their own, and read what stays as it is. Returns how many these are; they have no order among themselves.
int64_t gather_small_maps(const std::vector<Launch>& shared, std::vector<Launch>& varying,
                          const std::vector<PlannedValue>& values);

}  // namespace ptmz
