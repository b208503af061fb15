// The choice of fused nodes and the greedy merging of elementwise chains.
#include "compile/fusion.h"

#include <algorithm>
#include <set>

#include "autodiff/autodiff.h"
#include "backend/launch.h"

namespace ptmz {
namespace {

constexpr size_t kMaxInstrs = 48;  // registers are 8 bit, and a longer chain gains nothing

// Whether the program computes, outside of fused node `id`, a part of its composite that depends on input 0.
bool composite_is_live(const Graph& graph, NodeId id, const std::vector<bool>& live) {
  const Node& f = graph[id];
  std::vector<bool> outside(graph.size());
  for (NodeId i : graph.reachable(f.inputs)) outside[i] = true;
  std::vector<bool> depends(graph.size());
  depends[f.inputs[0]] = true;
  for (NodeId i : graph.reachable({f.fallback})) {
    if (outside[i]) continue;
    const Node& n = graph[i];
    for (NodeId input : n.inputs) depends[i] = depends[i] || depends[input];
    if (depends[i] && live[i] && !info(n.op).view) return true;
  }
  return false;
}

}  // namespace

std::unordered_map<NodeId, NodeId> choose_fused(Graph& graph, const std::vector<NodeId>& outputs, bool fuse) {
  if (!fuse) return expand_fused(graph, outputs);
  std::unordered_map<NodeId, NodeId> total;
  for (NodeId id : outputs) total[id] = id;
  while (true) {
    std::vector<NodeId> roots;
    for (NodeId id : outputs) roots.push_back(total[id]);
    const std::vector<NodeId> cone = graph.reachable(roots);
    std::vector<bool> live(graph.size()), expand(graph.size());
    for (NodeId id : cone) live[id] = true;
    bool any = false;
    for (NodeId id : cone) {
      if (graph[id].op != Op::fused || !composite_is_live(graph, id, live)) continue;
      expand[id] = any = true;
    }
    if (!any) return total;
    const auto map = expand_fused(graph, roots, &expand);
    for (auto& [from, to] : total) to = map.at(to);
  }
}

Groups group_elementwise(const Graph& graph, const std::vector<NodeId>& live, const std::vector<bool>& is_output,
                         const std::vector<bool>& varies, bool fuse) {
  Groups groups;
  groups.root.assign(graph.size(), kNone);
  std::vector<std::vector<NodeId>> consumers(graph.size());
  for (NodeId id : live)
    for (NodeId i : graph[id].inputs) consumers[i].push_back(id);

  // What a group reads from outside, so that a launch never needs more operands than it can hold.
  std::unordered_map<NodeId, std::set<NodeId>> reads;
  const auto launch_of = [&](NodeId consumer) {
    const Op op = graph[consumer].op;
    if (info(op).elementwise) return groups.root[consumer];
    return op == Op::sum || op == Op::max ? consumer : kNone;
  };
  const auto merged_root = [&](NodeId id) {
    if (!fuse || is_output[id] || consumers[id].empty()) return kNone;
    const NodeId root = launch_of(consumers[id][0]);
    if (root == kNone || varies[root] != varies[id]) return kNone;
    for (NodeId c : consumers[id])
      if (launch_of(c) != root) return kNone;
    std::set<NodeId> after = reads[root];
    after.erase(id);
    after.insert(graph[id].inputs.begin(), graph[id].inputs.end());
    const bool fits = after.size() < kMaxOperands && groups.members[root].size() < kMaxInstrs;
    return fits ? root : kNone;
  };

  for (auto it = live.rbegin(); it != live.rend(); ++it) {
    const NodeId id = *it;
    const Node& n = graph[id];
    if (n.op == Op::sum || n.op == Op::max) reads[id] = {n.inputs[0]};
    if (!info(n.op).elementwise) continue;
    const NodeId root = merged_root(id);
    groups.root[id] = root == kNone ? id : root;
    std::set<NodeId>& set = reads[groups.root[id]];
    set.erase(id);
    set.insert(n.inputs.begin(), n.inputs.end());
    groups.members[groups.root[id]].push_back(id);
  }
  for (auto& [root, members] : groups.members) std::reverse(members.begin(), members.end());
  return groups;
}

}  // namespace ptmz
