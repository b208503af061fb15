// Random directions in parameter space, drawn by position within the parameters; the padding between them stays 0.
#pragma once
#include "backend/shared/philox.h"
#include "solvers/batches.h"

namespace ptmz {

// What a direction is for: two estimates with one seed share no numbers.
enum class ProbeUse : uint32_t { trace = 0, lanczos = 1, power = 2, spectrum = 3 };

struct ProbeKey {
  uint64_t seed;    // of the member
  uint32_t stream;  // of the call
  ProbeUse use;
  uint32_t index;
};

enum class ProbeKind { signs, normal };

// v: as long as the flat parameters, zeroed.
template <typename T>
void draw_probe(const ProbeKey& probe, ProbeKind kind, const std::vector<ParameterRange>& ranges, T* v) {
  const RandomKey key{static_cast<uint32_t>(probe.seed),     static_cast<uint32_t>(probe.seed >> 32),
                      static_cast<uint32_t>(Purpose::probe), probe.stream,
                      static_cast<uint32_t>(probe.use),      probe.index};
  uint64_t index = 0;
  for (const ParameterRange& range : ranges) {
    for (int64_t i = range.begin; i < range.end; ++i, ++index) {
      v[i] = static_cast<T>(kind == ProbeKind::signs ? random_rademacher(key, index) : random_normal(key, index));
    }
  }
}

// Throws INVALID_ARGUMENT unless the ranges lie within `size` parameters and there is one seed per member.
void check_probes(const std::vector<ParameterRange>& ranges, const std::vector<uint64_t>& seeds, const Vector* params);

}  // namespace ptmz
