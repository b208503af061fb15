// Runs of a Runner's programs on the emulated CUDA device, compared with its own on the CPU.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <set>

#include "check.h"
#include "programs.h"
#include "samples.h"

namespace ptmz::test {

// Of all programs that were compiled for the device.
inline std::set<LaunchCode>& codes_seen() {
  static std::set<LaunchCode> seen;
  return seen;
}

using Values = std::vector<std::vector<double>>;

// Compiles and runs on the device what a Runner describes; a second run replays the recording of the first.
struct DeviceRunner {
  Runner& like;
  std::shared_ptr<Program> program = nullptr;
  RunStats stats = {};
  int runs = 3;
  Precision precision = Precision::full;

  Values operator()(const std::vector<NodeId>& nodes) {
    Graph& graph = like.graph;
    std::vector<Output> outputs;
    for (NodeId node : nodes) {
      const Node& n = graph[node];
      const std::string name = "out" + std::to_string(graph.slots().size());
      outputs.push_back({node, graph.add_slot(name, n.kind, element_count(n.shape)), 0});
    }
    program = compile(graph, outputs, {like.real, like.varying, like.fuse, precision}, emulated());
    for (const auto* list : {&program->shared, &program->varying})
      for (const Launch& l : *list) codes_seen().insert(l.code);
    std::vector<std::unique_ptr<Vector>> owned(program->slots.size());
    std::vector<Vector*> vectors(owned.size());
    for (size_t s = 0; s < owned.size(); ++s) {
      const ProgramSlot& slot = program->slots[s];
      if (!slot.read && !slot.written) continue;
      const int64_t rows = slot.varies ? like.members : 1;
      const DType dtype = slot.kind == Kind::index ? DType::i32 : like.real;
      owned[s] = std::make_unique<Vector>(dtype, rows, slot.size, &emulated());
      vectors[s] = owned[s].get();
      if (!slot.read) continue;
      Vector host(dtype, rows, slot.size);
      for (int64_t i = 0; i < rows * slot.size; ++i) Runner::set(host, i, like.values[s][i]);
      for (int64_t r = 0; r < rows; ++r) owned[s]->write(r, 0, slot.size, host.row(r));
    }
    RunOptions options = like.options;
    options.members = like.members;
    Executor executor(program);
    Values first;
    for (int run = 0; run < runs; ++run) {
      stats = executor.run(vectors, options);
      const Values all = results(outputs, vectors);
      if (run == 0) first = all;
      CHECK(all == first);
    }
    return first;
  }

 private:
  static Values results(const std::vector<Output>& outputs, const std::vector<Vector*>& vectors) {
    Values all;
    for (const Output& o : outputs) {
      const Vector& v = *vectors[o.slot];
      Vector host(v.dtype(), v.rows(), v.size());
      for (int64_t r = 0; r < v.rows(); ++r) v.read(r, 0, v.size(), host.row(r));
      all.emplace_back();
      for (int64_t i = 0; i < v.rows() * v.size(); ++i) all.back().push_back(Runner::get(host, i));
    }
    return all;
  }
};

// The largest difference of an output, relative to its largest value; infinite where only one of them is a number.
inline double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0, largest = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i]) continue;
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return HUGE_VAL;
    most = std::max(most, std::fabs(a[i] - b[i]));
    largest = std::max(largest, std::fabs(a[i]));
  }
  return most / largest;
}

// Lays images with so many channels or more with the channel last while it lives.
struct ChannelsLast {
  explicit ChannelsLast(int64_t from) { use_channels_last_from(from); }
  ~ChannelsLast() { use_channels_last_from(0); }
};

// Runs the nodes on both and compares; members see values of their own in the slots of `varying`.
inline void compare(Graph& g, const std::vector<NodeId>& nodes, const Values& values, const std::vector<int>& varying,
                    int64_t members, DType real, double tolerance) {
  Runner cpu{g, values, varying, members};
  cpu.real = real;
  const Values expected = cpu(nodes);
  DeviceRunner cuda{cpu};
  const Values got = cuda(nodes);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const double gap = difference(expected[i], got[i]);
    CHECK(gap <= tolerance);
    if (!(gap <= tolerance))
      std::printf("  output %zu (%s) of %zu, %ld members, %s: differs by %.3g\n", i, info(g[nodes[i]].op).name,
                  nodes.size(), members, dtype_name(real), gap);
  }
}

// For P = 1 and 3, shared and varying, in both types.
inline void compare_all(Graph& g, const std::vector<NodeId>& nodes, const std::vector<int>& varying,
                        const std::function<Values(int64_t members)>& values, double single = 2e-5,
                        double twice = 1e-12) {
  for (const DType real : {DType::f32, DType::f64})
    for (const int64_t members : {int64_t{1}, int64_t{3}})
      compare(g, nodes, values(members), varying, members, real, real == DType::f32 ? single : twice);
}

}  // namespace ptmz::test
