// Lowering: live nodes become launches over values; views cost nothing where strides can express them.
#pragma once
#include "compile/fusion.h"
#include "compile/plan.h"
#include "compile/program.h"

namespace ptmz {

struct Lowered {
  std::vector<Launch> shared, varying;
  std::vector<Instr> instrs;
  std::vector<PlannedValue> values;
};

// `outputs` must be sorted by node; `varies` is by node id; `lanes`: whether convolutions may keep images in lanes.
Lowered lower(const Graph& graph, const std::vector<NodeId>& live, const Groups& groups,
              const std::vector<bool>& varies, const std::vector<Output>& outputs, const std::vector<bool>& slot_varies,
              DType real, bool lanes);

}  // namespace ptmz
