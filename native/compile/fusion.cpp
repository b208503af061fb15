// The choice of fused nodes and the greedy merging of elementwise chains.
#include "compile/fusion.h"

#include <algorithm>
#include <set>

#include "autodiff/autodiff.h"
#include "backend/launch.h"

namespace ptmz {
namespace {

// Whether the program computes, outside of fused node `id`, a part of its composite that depends on input 0.
bool composite_is_live(Graph& graph, NodeId id, const std::vector<bool>& live) {
  const Node& f = graph[id];
  const NodeId composite = expand_fused(graph, {f.fallback}, [](NodeId) { return true; }).at(f.fallback);
  std::vector<bool> outside(graph.size());
  for (NodeId i : graph.reachable(f.inputs)) outside[i] = true;
  std::vector<bool> depends(graph.size());
  depends[f.inputs[0]] = true;
  for (NodeId i : graph.reachable({composite})) {
    if (outside[i]) continue;
    const Node& n = graph[i];
    for (NodeId input : n.inputs) depends[i] = depends[i] || depends[input];
    if (depends[i] && static_cast<size_t>(i) < live.size() && live[i] && !info(n.op).view) return true;
  }
  return false;
}

bool is_cheap(Op op) {
  return op == Op::add || op == Op::mul || op == Op::neg || op == Op::compare || op == Op::cast ||
         op == Op::stop_gradient;
}

// The tensors that a launch reads which computes `id`, cheap operators of its inputs included down to `depth`. False:
// one of them would not be read in the order of memory, and is better read once.
bool tensors_of(const Graph& graph, NodeId id, int depth, std::set<NodeId>& tensors) {
  for (NodeId i : graph[id].inputs) {
    const Node& n = graph[i];
    if (n.op == Op::constant) continue;
    if (n.op == Op::expand && 8 * element_count(graph.shape(n.inputs[0])) <= element_count(n.shape)) continue;
    if (depth > 0 && is_cheap(n.op)) {
      if (!tensors_of(graph, i, depth - 1, tensors)) return false;
      continue;
    }
    if (info(n.op).view && n.op != Op::reshape) return false;
    tensors.insert(i);
    if (tensors.size() > 1) return true;
  }
  return true;
}

// Whether reading a value costs as much as computing it again: cheap operators of one tensor and of constants or
// numbers that repeat, such as x <= 0, x + bias and x + x^3. Each launch that needs it then computes it, and it is
// never stored.
bool costs_nothing_again(const Graph& graph, NodeId id) {
  if (!is_cheap(graph[id].op)) return false;
  constexpr int kDeep = 4;
  for (const int depth : {0, kDeep}) {
    std::set<NodeId> tensors;
    if (tensors_of(graph, id, depth, tensors) && tensors.size() <= 1) return true;
  }
  return false;
}

// Whether two launches had better compute a value each than share it through memory: the erf or tanh by which GELU's
// value and gradient are found, whose argument both read anyway.
bool costs_less_twice(const Graph& graph, NodeId id) { return graph[id].op == Op::erf || graph[id].op == Op::tanh; }

}  // namespace

std::unordered_map<NodeId, NodeId> choose_fused(Graph& graph, const std::vector<NodeId>& outputs, bool fuse) {
  auto total = expand_fused(graph, outputs, [&](NodeId id) { return !fuse || !info(graph.fused(id)).kernel; });
  while (true) {
    std::vector<NodeId> roots;
    for (NodeId id : outputs) roots.push_back(total.at(id));
    const std::vector<NodeId> cone = graph.reachable(roots);
    std::vector<bool> live(graph.size());
    for (NodeId id : cone) live[id] = true;
    std::set<NodeId> expand;
    for (NodeId id : cone)
      if (graph[id].op == Op::fused && composite_is_live(graph, id, live)) expand.insert(id);
    if (expand.empty()) return total;
    const auto map =
        expand_fused(graph, roots, [&](NodeId id) { return expand.count(id) > 0 || !info(graph.fused(id)).kernel; });
    std::unordered_map<NodeId, NodeId> next;  // a node may be listed more than once
    for (NodeId id : outputs) next[id] = map.at(total.at(id));
    total = std::move(next);
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
  std::unordered_map<NodeId, std::set<NodeId>> launches;  // by elementwise node: the roots that compute it
  const auto launches_of = [&](NodeId consumer) {
    const Op op = graph[consumer].op;
    if (info(op).elementwise) return launches.at(consumer);
    return std::set<NodeId>{op == Op::sum || op == Op::max ? consumer : kNone};
  };
  const auto fits = [&](NodeId id, NodeId root) {
    if (root == kNone || varies[root] != varies[id]) return false;
    std::set<NodeId> after = reads[root];
    after.erase(id);
    after.insert(graph[id].inputs.begin(), graph[id].inputs.end());
    return after.size() < kMaxOperands && groups.members[root].size() < size_t{kMaxInstrs};
  };
  // The launches that a node becomes part of; none: it is a root itself.
  const auto merged_roots = [&](NodeId id) -> std::set<NodeId> {
    if (is_output[id] || consumers[id].empty()) return {};
    std::set<NodeId> roots;
    for (NodeId c : consumers[id]) roots.merge(launches_of(c));
    const NodeId first = *roots.begin();
    // An inner product is one launch even without fusion: its kernel adds the products unrounded.
    const bool inner_product = graph[id].op == Op::mul && first != kNone && graph[first].op == Op::sum &&
                               element_count(graph.shape(first)) == 1;
    if (!fuse && !inner_product) return {};
    if (roots.size() > 1 && !costs_nothing_again(graph, id) && !(roots.size() == 2 && costs_less_twice(graph, id)))
      return {};
    for (NodeId root : roots)
      if (!fits(id, root)) return {};
    return roots;
  };

  for (auto it = live.rbegin(); it != live.rend(); ++it) {
    const NodeId id = *it;
    const Node& n = graph[id];
    if (n.op == Op::sum || n.op == Op::max) reads[id] = {n.inputs[0]};
    if (!info(n.op).elementwise) continue;
    std::set<NodeId>& roots = launches[id] = merged_roots(id);
    if (roots.empty()) roots = {id};
    groups.root[id] = *roots.begin();
    for (NodeId root : roots) {
      std::set<NodeId>& set = reads[root];
      set.erase(id);
      set.insert(n.inputs.begin(), n.inputs.end());
      groups.members[root].push_back(id);
    }
  }
  for (auto& [root, members] : groups.members) std::reverse(members.begin(), members.end());

  // The one node by which elementwise nodes of one launch read the value; kNone if others do, or several.
  const auto only_read = [&](NodeId product) -> Groups::Product {
    NodeId read = product;
    while (!is_output[read] && consumers[read].size() == 1 && graph[consumers[read][0]].op == Op::reshape)
      read = consumers[read][0];
    NodeId root = kNone;
    for (NodeId c : consumers[read]) {
      if (is_output[read] || !info(graph[c].op).elementwise || launches.at(c).size() > 1) return {kNone, kNone};
      if (root != kNone && groups.root[c] != root) return {kNone, kNone};
      root = groups.root[c];
    }
    return {root, read};
  };
  for (NodeId id : live) {
    // A launch reads a single number before it begins, when there is no product yet.
    if (!fuse || graph[id].op != Op::matmul || graph.shape(id).size() != 2 || element_count(graph.shape(id)) == 1)
      continue;
    const auto [root, read] = only_read(id);
    if (root == kNone || !info(graph[root].op).elementwise || varies[root] != varies[id]) continue;
    if (reads[root].size() + 3 <= kMaxOperands) groups.products[root] = {id, read};
  }
  return groups;
}

bool Groups::is_absorbed(NodeId product) const {
  for (const auto& [root, absorbed] : products)
    if (absorbed.node == product) return true;
  return false;
}

}  // namespace ptmz
