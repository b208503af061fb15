// Reverse-mode sweep over the graph, jvp as two VJPs, and the expansion of fused nodes.
#include "autodiff/autodiff.h"

#include <algorithm>

#include "autodiff/rules.h"

namespace ptmz {
namespace {

// Whether a fused node on an active path has neither a rule nor a fused backward kernel that serves.
bool needs_expansion(const Graph& graph, const std::vector<NodeId>& cone, const std::vector<bool>& active) {
  for (NodeId id : cone) {
    const Node& n = graph[id];
    if (n.op != Op::fused || !active[id] || info(graph.fused(id)).rule) continue;
    if (info(graph.fused(id)).backward == Fused::none) return true;
    // A fused backward differentiates input 0 alone.
    for (size_t i = 1; i < n.inputs.size(); ++i)
      if (active[n.inputs[i]]) return true;
  }
  return false;
}

// active[id]: a differentiable path leads from some entry of wrt to id.
std::vector<bool> mark_active(const Graph& graph, const std::vector<NodeId>& cone, const std::vector<NodeId>& wrt) {
  std::vector<bool> active(graph.size());
  for (NodeId id : wrt) active[id] = true;
  for (NodeId id : cone) {
    const Node& n = graph[id];
    if (active[id] || info(n.op).nondiff || n.kind == Kind::index) continue;
    for (NodeId i : n.inputs) active[id] = active[id] || active[i];
  }
  return active;
}

}  // namespace

std::unordered_map<NodeId, NodeId> expand_fused(Graph& graph, const std::vector<NodeId>& roots,
                                                const std::function<bool(NodeId)>& chosen) {
  std::unordered_map<NodeId, NodeId> map;
  // Depth first with an explicit stack: fallbacks bring in nodes that are not reachable through inputs.
  std::vector<NodeId> stack = roots;
  while (!stack.empty()) {
    const NodeId id = stack.back();
    if (map.count(id)) {
      stack.pop_back();
      continue;
    }
    const Node n = graph[id];
    const bool replace = n.op == Op::fused && chosen(id);
    const std::vector<NodeId> needs = replace ? std::vector<NodeId>{n.fallback} : n.inputs;
    bool ready = true;
    for (NodeId i : needs) {
      if (map.count(i)) continue;
      stack.push_back(i);
      ready = false;
    }
    if (!ready) continue;
    stack.pop_back();
    if (replace) {
      map[id] = map[n.fallback];
      continue;
    }
    std::vector<NodeId> inputs = n.inputs;
    for (NodeId& i : inputs) i = map[i];
    if (inputs == n.inputs) {
      map[id] = id;
    } else if (n.op == Op::fused) {  // kept fused, but on rewritten inputs: its fallback follows by the same rewriting
      const auto fallback = map.find(n.fallback);
      if (fallback == map.end()) {
        stack.insert(stack.end(), {id, n.fallback});
        continue;
      }
      Attrs attrs = n.attrs;
      attrs.ints.erase(attrs.ints.begin());
      map[id] = graph.add_fused(graph.fused(id), std::move(inputs), std::move(attrs), fallback->second);
    } else {
      map[id] = graph.add(n.op, std::move(inputs), n.attrs, n.shape);
    }
  }
  return map;
}

std::vector<NodeId> vjp(Graph& graph, const std::vector<NodeId>& outputs, const std::vector<NodeId>& cotangents,
                        const std::vector<NodeId>& wrt) {
  if (outputs.size() != cotangents.size())
    throw Error("INVALID_ARGUMENT", "vjp: expected one cotangent per output, got " + std::to_string(outputs.size()) +
                                        " outputs and " + std::to_string(cotangents.size()) + " cotangents");
  for (NodeId id : wrt) graph.check_node(id);
  for (size_t i = 0; i < outputs.size(); ++i) {
    graph.check_node(outputs[i]);
    graph.check_node(cotangents[i]);
    if (graph.shape(outputs[i]) != graph.shape(cotangents[i]))
      throw Error("SHAPE_MISMATCH", "vjp: expected a cotangent of the output's shape " +
                                        to_string(graph.shape(outputs[i])) + ", got " +
                                        to_string(graph.shape(cotangents[i])));
    if (graph[outputs[i]].kind == Kind::index)
      throw Error("INVALID_ARGUMENT", "vjp: expected real outputs, got an index value");
  }

  std::vector<NodeId> cone = graph.reachable(outputs);
  std::vector<bool> active = mark_active(graph, cone, wrt);
  if (needs_expansion(graph, cone, active)) {
    const auto map = expand_fused(graph, outputs, [&](NodeId id) { return !info(graph.fused(id)).rule; });
    const auto rewritten = [&](std::vector<NodeId> ids) {
      for (NodeId& id : ids)
        if (const auto found = map.find(id); found != map.end()) id = found->second;
      return ids;
    };
    return vjp(graph, rewritten(outputs), cotangents, rewritten(wrt));
  }

  std::unordered_map<NodeId, NodeId> cotangent;
  const auto accumulate = [&](NodeId id, NodeId g) {
    const auto [it, fresh] = cotangent.try_emplace(id, g);
    if (!fresh) it->second = graph.add(it->second, g);
  };
  for (size_t i = 0; i < outputs.size(); ++i)
    if (active[outputs[i]]) accumulate(outputs[i], cotangents[i]);

  for (auto it = cone.rbegin(); it != cone.rend(); ++it) {
    const NodeId id = *it;
    const auto g = cotangent.find(id);
    if (g == cotangent.end() || info(graph[id].op).leaf || info(graph[id].op).nondiff) continue;
    const std::vector<NodeId> inputs = graph[id].inputs;
    std::vector<bool> needed(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) needed[i] = active[inputs[i]];
    if (std::find(needed.begin(), needed.end(), true) == needed.end()) continue;
    const std::vector<NodeId> parts = vjp_rule(graph, id, g->second, needed);
    for (size_t i = 0; i < inputs.size(); ++i)
      if (needed[i] && parts[i] != kNone) accumulate(inputs[i], parts[i]);
  }

  std::vector<NodeId> out;
  for (NodeId id : wrt) {
    const auto g = cotangent.find(id);
    out.push_back(g == cotangent.end() ? kNone : g->second);
  }
  return out;
}

std::vector<NodeId> jvp(Graph& graph, const std::vector<NodeId>& outputs, const std::vector<NodeId>& wrt,
                        const std::vector<NodeId>& tangents) {
  if (wrt.size() != tangents.size())
    throw Error("INVALID_ARGUMENT", "jvp: expected one tangent per variable, got " + std::to_string(wrt.size()) +
                                        " variables and " + std::to_string(tangents.size()) + " tangents");
  for (size_t i = 0; i < wrt.size(); ++i) {
    graph.check_node(wrt[i]);
    graph.check_node(tangents[i]);
    if (graph.shape(wrt[i]) != graph.shape(tangents[i]))
      throw Error("SHAPE_MISMATCH", "jvp: expected a tangent of the variable's shape " +
                                        to_string(graph.shape(wrt[i])) + ", got " +
                                        to_string(graph.shape(tangents[i])));
  }
  // <vjp(u), t> is linear in u: its derivative with respect to u is J t and holds no u. The placeholders live in a slot
  // that no program reads.
  std::vector<NodeId> u;
  int64_t offset = 0;
  for (NodeId id : outputs) {
    graph.check_node(id);
    const Shape shape = graph.shape(id);
    const int slot = graph.add_slot("<cotangent>", Kind::real, offset + element_count(shape));
    u.push_back(graph.leaf(slot, offset, shape));
    offset += element_count(shape);
  }
  const std::vector<NodeId> pulled = vjp(graph, outputs, u, wrt);
  std::vector<NodeId> terms, weights;
  for (size_t i = 0; i < wrt.size(); ++i) {
    if (pulled[i] == kNone) continue;
    terms.push_back(pulled[i]);
    weights.push_back(tangents[i]);
  }
  return vjp(graph, terms, weights, u);
}

}  // namespace ptmz
