// Fusion: which fused nodes a program keeps, and which elementwise nodes are merged into one launch.
#pragma once
#include <unordered_map>
#include <vector>

#include "ir/graph.h"

namespace ptmz {

// Old id -> new id after replacing fused nodes by their fallbacks: all of them when `fuse` is false, else those whose
// composite the program computes anyway, so that it never holds both forms of one value, and those without a kernel.
std::unordered_map<NodeId, NodeId> choose_fused(Graph& graph, const std::vector<NodeId>& outputs, bool fuse);

// For each live elementwise node the node whose launch computes it: itself (a root), or the root of the map or
// reduction into which it is merged. A merged node is used by that one launch only, unless computing it again costs no
// more than reading it.
struct Groups {
  std::vector<NodeId> root;                                 // by node id; kNone for nodes that are not elementwise;
                                                            // itself: it has a launch
  std::unordered_map<NodeId, std::vector<NodeId>> members;  // root -> merged nodes and itself, ascending
  // Matrix products whose value only one map reads: a backend may run that behind the product, while its value is in
  // the cache. `read`: the node by which it is read, the product itself or its value in another shape.
  struct Product {
    NodeId node, read;
  };
  std::unordered_map<NodeId, Product> products;  // by the map's root
  bool is_absorbed(NodeId product) const;        // whether it is one of these
};
Groups group_elementwise(const Graph& graph, const std::vector<NodeId>& live, const std::vector<bool>& is_output,
                         const std::vector<bool>& varies, bool fuse);

}  // namespace ptmz
