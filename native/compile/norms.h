// Norms: batch norm in one launch each way, on a device whose blocks take whole channels. The statistics of a narrow
// network are a launch as short as the one that reads them, and a step has forty of each; what a residual adds to a
// gradient is another one.
#pragma once
#include <vector>

#include "backend/device.h"

namespace ptmz {

// Makes one launch of a batch norm, of the statistics or sums right before it that it reads and, backwards, of a map
// right before these that computes the gradient. For lists that are not planned yet.
void merge_norms(std::vector<Launch>& list, const Device& device);

}  // namespace ptmz
