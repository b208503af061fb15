// The VJP rule table: one rule per differentiable op, written in the graph language itself, so that rules nest.
#pragma once
#include "ir/graph.h"

namespace ptmz {

// Cotangents of the inputs of `node`, given the cotangent `g` of its value; kNone for an input without derivative.
// `needed[i]` is false where input i leads to nothing that is asked for: its cotangent need not be built.
std::vector<NodeId> vjp_rule(Graph& graph, NodeId node, NodeId g, const std::vector<bool>& needed);

}  // namespace ptmz
