// Helpers of the program tests: compile one or more nodes and run them over given numbers.
#pragma once
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "runtime/executor.h"

namespace ptmz::test {

// Runs `nodes` with slot k filled from values[k] (members rows one after another); returns one array per node.
// `varying`: slots with a row per member.
struct Runner {
  Graph& graph;
  std::vector<std::vector<double>> values;
  std::vector<int> varying = {};
  int64_t members = 1;
  bool fuse = true;
  DType real = DType::f64;
  RunOptions options = {};
  const Backend& backend = cpu_backend();
  std::shared_ptr<Program> program = nullptr;
  RunStats stats = {};

  std::vector<std::vector<double>> operator()(const std::vector<NodeId>& nodes) {
    std::vector<Output> outputs;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Node& n = graph[nodes[i]];
      outputs.push_back(
          {nodes[i], graph.add_slot("out" + std::to_string(graph.slots().size()), n.kind, element_count(n.shape)), 0});
    }
    program = compile(graph, outputs, {real, varying, fuse}, backend);
    std::vector<std::unique_ptr<Vector>> owned(program->slots.size());
    std::vector<Vector*> vectors(owned.size());
    for (size_t s = 0; s < owned.size(); ++s) {
      const ProgramSlot& slot = program->slots[s];
      if (!slot.read && !slot.written) continue;
      const int64_t rows = slot.varies ? members : 1;
      const DType dtype = slot.kind == Kind::index ? DType::i32 : real;
      owned[s] = std::make_unique<Vector>(dtype, rows, slot.size);
      vectors[s] = owned[s].get();
      for (int64_t i = 0; slot.read && i < rows * slot.size; ++i) set(*vectors[s], i, values[s][i]);
    }
    options.members = members;
    stats = Executor(program).run(vectors, options);
    std::vector<std::vector<double>> out;
    for (const Output& o : outputs) {
      Vector& v = *vectors[o.slot];
      out.emplace_back();
      for (int64_t i = 0; i < v.rows() * v.size(); ++i) out.back().push_back(get(v, i));
    }
    return out;
  }

  static void set(Vector& v, int64_t i, double x) {
    if (v.dtype() == DType::i32) v.as<int32_t>()[i] = static_cast<int32_t>(x);
    if (v.dtype() == DType::f32) v.as<float>()[i] = static_cast<float>(x);
    if (v.dtype() == DType::f64) v.as<double>()[i] = x;
  }
  static double get(Vector& v, int64_t i) {
    if (v.dtype() == DType::i32) return v.as<int32_t>()[i];
    return v.dtype() == DType::f32 ? v.as<float>()[i] : v.as<double>()[i];
  }
};

inline std::vector<double> ramp(int64_t n, double from = -0.9, double step = 0.37) {
  std::vector<double> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(std::sin(from + step * static_cast<double>(i)));
  return out;
}

}  // namespace ptmz::test
