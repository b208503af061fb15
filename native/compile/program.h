// Program: a graph compiled for fixed shapes and one dtype - a launch list and a static memory plan.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "ir/graph.h"

namespace ptmz {

// Where an output goes: a slot of its own (never one that the graph reads) at an offset in elements.
struct Output {
  NodeId node;
  int slot;
  int64_t offset;
};

struct CompileOptions {
  DType real = DType::f32;
  std::vector<int> varying;               // slots that hold one row per member; all others are shared
  bool fuse = true;                       // use fused kernels and merge elementwise chains into one launch
  Precision precision = Precision::full;  // of contractions; less than full in float32 on backends that have it
};

struct ProgramSlot {
  std::string name;
  Kind kind;
  int64_t size;
  bool varies, read, written;
};

struct Program {
  DType real;
  Precision precision = Precision::full;
  std::vector<ProgramSlot> slots;  // all slots of the graph; those neither read nor written need no vector
  std::vector<Launch> shared;      // run once per run
  std::vector<Launch> varying;     // run once per member
  std::vector<Instr> instrs;
  int64_t shared_bytes = 0;   // S of the plan: S + P * V
  int64_t member_bytes = 0;   // V
  int64_t scratch_bytes = 0;  // per thread
  const Backend* backend = nullptr;

  std::string dump() const;
  std::string instructions(const Launch& launch) const;  // " {mul add}", or nothing
};

// Compiles what `outputs` need. Throws INVALID_ARGUMENT (an output slot that is also read, overlapping outputs, ...).
std::shared_ptr<Program> compile(Graph& graph, const std::vector<Output>& outputs, const CompileOptions& options,
                                 const Backend& backend);

}  // namespace ptmz
