// SIMD levels: asks the CPU what it can do, and the environment what it should do.
#include "backend/cpu/simd.h"

#include <cstdlib>

#include "ir/error.h"

namespace ptmz::cpu {

namespace portable {
const KernelTable& table();
}
#ifdef __x86_64__
namespace avx2 {
const KernelTable& table();
}
namespace avx512 {
const KernelTable& table();
}
#endif

namespace {

bool always() { return true; }
#ifdef __x86_64__
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

struct Level {
  const char* name;
  bool (*available)();
  const KernelTable& (*table)();
};
constexpr Level kLevels[] = {
    {"portable", always, portable::table},
#ifdef __x86_64__
    {"avx2", has_avx2, avx2::table},
    {"avx512", has_avx512, avx512::table},
#endif
};

}  // namespace

std::vector<std::string> simd_levels() {
  std::vector<std::string> names;
  for (const Level& level : kLevels) {
    if (level.available()) names.emplace_back(level.name);
  }
  return names;
}

const KernelTable& kernels_of(const std::string& name) {
  std::string available;
  for (const Level& level : kLevels) {
    if (!level.available()) continue;
    if (name == level.name) return level.table();
    available += available.empty() ? level.name : std::string(", ") + level.name;
  }
  throw Error("INVALID_ARGUMENT", "SIMD level '" + name + "' is not available here; expected one of: " + available);
}

const KernelTable& kernels() {
  static const KernelTable& chosen = []() -> const KernelTable& {
    const char* forced = std::getenv("PTMZ_SIMD");
    return kernels_of(forced && *forced ? forced : simd_levels().back());
  }();
  return chosen;
}

}  // namespace ptmz::cpu
