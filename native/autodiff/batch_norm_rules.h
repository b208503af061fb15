// The VJPs of batch norm's fused nodes: one entry per input, kNone where there is no path of its own.
#pragma once
#include <vector>

#include "ir/graph.h"

namespace ptmz {

std::vector<NodeId> batch_statistics_rule(Graph& graph, NodeId stats, NodeId g);
// For batch_norm and batch_norm_add. The gradient with respect to x goes through the statistics as well, where these
// are the statistics of x itself.
std::vector<NodeId> batch_norm_rule(Graph& graph, NodeId y, NodeId g);

}  // namespace ptmz
