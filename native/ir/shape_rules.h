// Shape rules: one per op, checked when a node is added.
#pragma once
#include "ir/graph.h"

namespace ptmz {

// The shape of the node (op, inputs, attrs). `requested` is the shape given for ops that need one.
// Throws SHAPE_MISMATCH with both shapes, or INVALID_ARGUMENT for a bad attribute.
Shape infer_shape(const Graph& graph, Op op, const std::vector<NodeId>& inputs, const Attrs& attrs,
                  const Shape& requested);

}  // namespace ptmz
