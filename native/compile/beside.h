// Beside: launches without an order among themselves, which a device may run as one. What narrow networks compute takes
// as long as it takes to launch it: both gradients of a convolution, and the running statistics and the gradients of
// norms, vectors of a few channels.
#pragma once
#include "backend/device.h"
#include "compile/plan.h"

namespace ptmz {

// Sets `beside` where neighbours do not wait for each other: of launches that the device runs side by side, and of
// small maps that nothing waits for, which are moved to the end of the list. For lists that are not planned yet.
void find_beside(const std::vector<Launch>& shared, std::vector<Launch>& varying,
                 const std::vector<PlannedValue>& values, const Device& device, DType real);

// Gives each launch of a prepared list scratch and tickets apart from those that it is beside.
void part_scratch(std::vector<Launch>& list);

}  // namespace ptmz
