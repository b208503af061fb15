// compile(): checks the outputs, decides what varies over members, and runs fusion, lowering and the memory plan.
#include <algorithm>

#include "compile/beside.h"
#include "compile/lowering.h"
#include "compile/norms.h"

namespace ptmz {
namespace {

void check_outputs(const Graph& graph, const std::vector<Output>& outputs) {
  std::vector<Output> sorted = outputs;
  for (const Output& o : sorted) {
    graph.check_node(o.node);
    if (o.slot < 0 || o.slot >= static_cast<int>(graph.slots().size()))
      throw Error("INVALID_ARGUMENT", "output: expected a slot in [0, " + std::to_string(graph.slots().size()) +
                                          "), got " + std::to_string(o.slot));
    const Slot& slot = graph.slots()[o.slot];
    if (slot.kind != graph[o.node].kind)
      throw Error("INVALID_ARGUMENT", "output '" + slot.name + "': the slot's kind differs from the value's");
    if (o.offset < 0 || o.offset + element_count(graph.shape(o.node)) > slot.size)
      throw Error("INVALID_ARGUMENT", "output '" + slot.name + "': " + to_string(graph.shape(o.node)) + " at offset " +
                                          std::to_string(o.offset) + " does not fit size " + std::to_string(slot.size));
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const Output& a, const Output& b) { return std::pair(a.slot, a.offset) < std::pair(b.slot, b.offset); });
  for (size_t i = 1; i < sorted.size(); ++i)
    if (sorted[i].slot == sorted[i - 1].slot &&
        sorted[i].offset < sorted[i - 1].offset + element_count(graph.shape(sorted[i - 1].node)))
      throw Error("INVALID_ARGUMENT", "output '" + graph.slots()[sorted[i].slot].name +
                                          "': two values overlap at offset " + std::to_string(sorted[i].offset));
}

void check_precision(const CompileOptions& options, const Backend& backend) {
  if (options.precision == Precision::full) return;
  const std::string given = std::string("precision '") + name(options.precision) + "': ";
  if (options.real != DType::f32)
    throw Error("UNSUPPORTED", given + "expected a program in float32, got one in float64; leave precision out there");
  if (!backend.has_reduced_precision())
    throw Error("UNSUPPORTED",
                given + "expected a CUDA device, got '" + backend.name() + "', which has 'float32' only");
}

}  // namespace

std::shared_ptr<Program> compile(Graph& graph, const std::vector<Output>& requested, const CompileOptions& options,
                                 const Backend& backend) {
  if (options.real != DType::f32 && options.real != DType::f64)
    throw Error("INVALID_ARGUMENT", "dtype: expected float32 or float64");
  check_precision(options, backend);
  if (requested.empty()) throw Error("INVALID_ARGUMENT", "outputs: expected at least one, got none");
  check_outputs(graph, requested);

  std::vector<NodeId> roots;
  for (const Output& o : requested) roots.push_back(o.node);
  const auto chosen = choose_fused(graph, roots, options.fuse);
  std::vector<Output> outputs = requested;
  for (size_t i = 0; i < outputs.size(); ++i) roots[i] = outputs[i].node = chosen.at(outputs[i].node);
  const std::vector<NodeId> live = graph.reachable(roots);

  auto program = std::make_shared<Program>();
  program->real = options.real;
  program->precision = options.precision;
  program->backend = &backend;
  for (const Slot& slot : graph.slots())
    program->slots.push_back({slot.name, slot.kind, slot.size, false, false, false});
  for (int slot : options.varying) {
    if (slot < 0 || slot >= static_cast<int>(program->slots.size()))
      throw Error("INVALID_ARGUMENT", "varying: no slot " + std::to_string(slot));
    program->slots[slot].varies = true;
  }

  std::vector<bool> varies(graph.size()), is_output(graph.size());
  for (NodeId id : live) {
    const Node& n = graph[id];
    if (n.op == Op::input || n.op == Op::param) {
      ProgramSlot& slot = program->slots[n.attrs.ints[0]];
      slot.read = true;
      varies[id] = slot.varies;
    }
    for (NodeId i : n.inputs) varies[id] = varies[id] || varies[i];
  }
  for (const Output& o : outputs) {
    ProgramSlot& slot = program->slots[o.slot];
    if (slot.read) throw Error("INVALID_ARGUMENT", "output '" + slot.name + "': the program also reads this slot");
    slot.varies = slot.varies || varies[o.node];
    slot.written = true;
    is_output[o.node] = true;
  }

  std::vector<bool> slot_varies;
  for (const ProgramSlot& slot : program->slots) slot_varies.push_back(slot.varies);
  const Groups groups = group_elementwise(graph, live, is_output, varies, options.fuse);
  Lowered lowered = lower(graph, live, groups, varies, outputs, slot_varies, options.real, backend);
  const Device* const device = backend.device();
  if (device != nullptr) {
    find_beside(lowered.shared, lowered.varying, lowered.values, *device, options.real);
    for (std::vector<Launch>* list : {&lowered.shared, &lowered.varying}) merge_norms(*list, *device);
  }
  const Plan plan = plan_memory(lowered.values, lowered.shared, lowered.varying, options.real == DType::f64 ? 8 : 4);
  program->shared = std::move(lowered.shared);
  program->varying = std::move(lowered.varying);
  program->instrs = std::move(lowered.instrs);
  program->shared_bytes = plan.shared_bytes;
  program->member_bytes = plan.member_bytes;
  for (std::vector<Launch>* list : {&program->shared, &program->varying}) {
    for (Launch& l : *list) {
      l.precision = options.precision;
      backend.prepare(l, options.real);
      program->scratch_bytes = std::max(program->scratch_bytes, l.scratch_bytes);
    }
    part_scratch(*list);
  }
  program->scratch_bytes = (program->scratch_bytes + 63) / 64 * 64;  // every thread's part begins aligned
  return program;
}

}  // namespace ptmz
