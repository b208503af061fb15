// Reads free memory from /proc and the cgroup files; elsewhere a fixed part of physical memory.
#include "runtime/memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace ptmz {
namespace {

// The first number of a one-line file, or -1 (missing, or "max").
int64_t number_in(const char* path) {
  FILE* file = std::fopen(path, "re");
  if (file == nullptr) return -1;
  long long value = -1;
  if (std::fscanf(file, "%lld", &value) != 1) value = -1;
  std::fclose(file);
  return value;
}

int64_t mem_available() {
  FILE* file = std::fopen("/proc/meminfo", "re");
  if (file == nullptr) return -1;
  char line[128];
  long long kilobytes = -1;
  while (std::fgets(line, sizeof line, file) != nullptr)
    if (std::strncmp(line, "MemAvailable:", 13) == 0) std::sscanf(line + 13, "%lld", &kilobytes);
  std::fclose(file);
  return kilobytes < 0 ? -1 : kilobytes * 1024;
}

}  // namespace

int64_t available_memory() {
  int64_t free = mem_available();
  if (free < 0) free = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / 2;
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  if (limit > 0 && used >= 0) free = std::min(free, std::max<int64_t>(0, limit - used));
  return free;
}

}  // namespace ptmz
