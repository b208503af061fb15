// Checks of what random directions are drawn from.
#include "solvers/probe.h"

#include "ir/error.h"

namespace ptmz {

void check_probes(const std::vector<ParameterRange>& ranges, const std::vector<uint64_t>& seeds, const Vector* params) {
  const auto expect = [](bool ok, const char* what) {
    if (!ok) throw Error("INVALID_ARGUMENT", what);
  };
  expect(params, "params: expected a vector");
  expect(static_cast<int64_t>(seeds.size()) == params->rows(), "seeds: expected one per member");
  for (const ParameterRange& range : ranges) {
    expect(range.begin >= 0 && range.begin <= range.end && range.end <= params->size(),
           "ranges: one lies outside the parameters");
  }
}

}  // namespace ptmz
