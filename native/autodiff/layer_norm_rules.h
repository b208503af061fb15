// The VJP of layer norm's fused node: one entry per input, kNone where there is no path of its own.
#pragma once
#include <vector>

#include "ir/graph.h"

namespace ptmz {

std::vector<NodeId> layer_norm_rule(Graph& graph, NodeId y, NodeId g);

}  // namespace ptmz
