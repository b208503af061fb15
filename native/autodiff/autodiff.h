// Derivatives as graph-to-graph transforms: vjp, jvp, and the expansion of fused nodes that higher orders need.
#pragma once
#include <functional>

#include "ir/graph.h"

namespace ptmz {

// d<outputs, cotangents>/d wrt, one node per entry of `wrt`; kNone where no differentiable path leads there.
// The result is made of ordinary nodes and can be differentiated again.
std::vector<NodeId> vjp(Graph& graph, const std::vector<NodeId>& outputs, const std::vector<NodeId>& cotangents,
                        const std::vector<NodeId>& wrt);

// (d outputs / d wrt) tangents, one node per output (kNone where zero). Two VJPs: <vjp(u), t> is linear in u.
std::vector<NodeId> jvp(Graph& graph, const std::vector<NodeId>& outputs, const std::vector<NodeId>& wrt,
                        const std::vector<NodeId>& tangents);

// `roots` with the fused nodes that `chosen` picks in their cones replaced by their fallbacks, recursively.
// Returns old id -> new id for every node of the cones.
std::unordered_map<NodeId, NodeId> expand_fused(Graph& graph, const std::vector<NodeId>& roots,
                                                const std::function<bool(NodeId)>& chosen);

}  // namespace ptmz
