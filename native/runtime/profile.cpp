// The table of times by kind of launch, printed at exit.
#include "runtime/profile.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace ptmz {
namespace {

struct Entry {
  int64_t count = 0;
  double seconds = 0, flops = 0;
};

struct Table {
  std::mutex mutex;
  std::map<std::string, Entry> entries;
};

// Never destroyed: a job may outlive static objects when the process exits.
Table& table() {
  static Table* const instance = new Table;
  return *instance;
}

void print() {
  const std::lock_guard lock(table().mutex);
  std::vector<std::pair<std::string, Entry>> rows(table().entries.begin(), table().entries.end());
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double total = 0;
  for (const auto& row : rows) total += row.second.seconds;
  std::fprintf(stderr, "\n%10s %7s %9s %11s %9s  %s\n", "ms", "share", "launches", "us/launch", "GFLOP/s", "launch");
  for (const auto& [name, e] : rows) {
    std::fprintf(stderr, "%10.2f %6.1f%% %9lld %11.2f ", 1e3 * e.seconds, 100 * e.seconds / total,
                 static_cast<long long>(e.count), 1e6 * e.seconds / static_cast<double>(e.count));
    if (e.flops > 0) {
      std::fprintf(stderr, "%9.1f  %s\n", 1e-9 * e.flops / e.seconds, name.c_str());
    } else {
      std::fprintf(stderr, "%9s  %s\n", "", name.c_str());
    }
  }
}

std::string label(const Program& program, const Launch& l) {
  std::string out = name(l.code);
  out += program.instructions(l);
  if (profile_level() < 2) return out;
  out += " [";
  for (int32_t d = 0; d < l.rank; ++d) out += (d == 0 ? "" : d == l.kept_rank ? "|" : ",") + std::to_string(l.shape[d]);
  out += "]";
  return out;
}

}  // namespace

int profile_level() {
  static const int level = [] {
    const char* text = std::getenv("PTMZ_PROFILE");
    const int value = text ? std::atoi(text) : 0;
    if (value > 0) std::atexit(print);
    return value;
  }();
  return level;
}

void ProfiledLaunch::record() const {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const std::string key = label(*program_, launch_);
  const std::lock_guard lock(table().mutex);
  Entry& entry = table().entries[key];
  ++entry.count;
  entry.seconds += seconds;
  entry.flops += flops_of(launch_);
}

}  // namespace ptmz
