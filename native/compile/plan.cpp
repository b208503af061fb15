// Liveness, first-fit placement and in-place reuse over the two launch lists.
#include "compile/plan.h"

#include <algorithm>
#include <map>

namespace ptmz {
namespace {

constexpr int64_t kAlign = 64;

// Free ranges of one arena by offset; grows at the end when nothing fits.
class Arena {
 public:
  int64_t take(int64_t bytes) {
    bytes = (bytes + kAlign - 1) / kAlign * kAlign;
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      if (it->second < bytes) continue;
      const int64_t offset = it->first, rest = it->second - bytes;
      free_.erase(it);
      if (rest > 0) free_[offset + bytes] = rest;
      return offset;
    }
    // Extend the last free range if it touches the end, else append.
    int64_t offset = size_;
    if (!free_.empty()) {
      const auto last = std::prev(free_.end());
      if (last->first + last->second == size_) {
        offset = last->first;
        free_.erase(last);
      }
    }
    size_ = offset + bytes;
    return offset;
  }
  void give(int64_t offset, int64_t bytes) {
    bytes = (bytes + kAlign - 1) / kAlign * kAlign;
    auto [it, fresh] = free_.emplace(offset, bytes);
    const auto next = std::next(it);
    if (next != free_.end() && it->first + it->second == next->first) {
      it->second += next->second;
      free_.erase(next);
    }
    if (it != free_.begin()) {
      const auto before = std::prev(it);
      if (before->first + before->second == it->first) {
        before->second += it->second;
        free_.erase(it);
      }
    }
  }
  int64_t size() const { return size_; }

 private:
  std::map<int64_t, int64_t> free_;
  int64_t size_ = 0;
};

bool is_whole(const Launch& l, const Operand& o) { return o.offset == 0 && is_dense(l, o); }

struct Placer {
  const std::vector<PlannedValue>& values;
  const int64_t real_bytes;
  std::vector<int64_t> offset;
  std::vector<bool> placed;

  // The input that this map may overwrite with its output: same bytes, read element by element, never read again. What
  // runs beside others may not: they might read it.
  int32_t overwritable(const Launch& l, size_t step, const std::vector<size_t>& last_use) const {
    if (l.code != LaunchCode::map || !is_whole(l, l.operands[0])) return -1;
    const int32_t out = l.operands[0].buffer - kFirstValue;
    const int64_t bytes = element_count(l) * real_bytes;
    if (bytes != values[out].bytes) return -1;
    for (int32_t i = 1; i < l.operand_count; ++i) {
      const int32_t value = l.operands[i].buffer - kFirstValue;
      if (l.operands[i].buffer < kFirstValue || l.operands[i].is_index || values[value].varies != values[out].varies)
        continue;
      if (last_use[value] != step || values[value].bytes != bytes) continue;
      bool everywhere = true;
      for (int32_t j = 1; j < l.operand_count; ++j)
        if (l.operands[j].buffer == l.operands[i].buffer) everywhere = everywhere && is_whole(l, l.operands[j]);
      if (everywhere) return value;
    }
    return -1;
  }

  int64_t place(const std::vector<Launch>& list, bool varying, std::vector<size_t> last_use) {
    Arena arena;
    std::vector<int32_t> done;  // values that no launch needs any more
    for (size_t step = 0; step < list.size(); ++step) {
      const Launch& l = list[step];
      const bool last_of_group = step + 1 == list.size() || !list[step + 1].beside, alone = !l.beside && last_of_group;
      int32_t reused = -1;
      for (int32_t i = 0; i < l.operand_count; ++i) {
        const int32_t out = l.operands[i].buffer - kFirstValue;
        if ((i > 0 && (l.also_writes >> i & 1) == 0) || out < 0 || placed[out]) continue;
        if (i == 0 && alone) reused = overwritable(l, step, last_use);
        offset[out] = i == 0 && reused >= 0 ? offset[reused] : arena.take(values[out].bytes);
        placed[out] = true;
      }
      // Values are distinct operands or not: release each once, when all that run beside this launch have their own.
      for (int32_t i = 0; i < l.operand_count; ++i) {
        const int32_t value = l.operands[i].buffer - kFirstValue;
        if (value < 0 || values[value].varies != varying || last_use[value] != step) continue;
        last_use[value] = static_cast<size_t>(-1);
        if (value != reused) done.push_back(value);
      }
      if (!last_of_group) continue;
      for (const int32_t value : done) arena.give(offset[value], values[value].bytes);
      done.clear();
    }
    return arena.size();
  }
};

}  // namespace

Plan plan_memory(const std::vector<PlannedValue>& values, std::vector<Launch>& shared, std::vector<Launch>& varying,
                 int64_t real_bytes) {
  // Step of the last launch that touches a value; shared values that the varying list reads are never released.
  std::vector<size_t> last_use(values.size(), 0);
  const auto scan = [&](const std::vector<Launch>& list, bool in_varying) {
    for (size_t step = 0; step < list.size(); ++step)
      for (int32_t i = 0; i < list[step].operand_count; ++i) {
        const int32_t value = list[step].operands[i].buffer - kFirstValue;
        if (value < 0) continue;
        last_use[value] =
            values[value].varies == in_varying ? std::max(last_use[value], step) : static_cast<size_t>(-2);
      }
  };
  scan(shared, false);
  scan(varying, true);

  Placer placer{values, real_bytes, std::vector<int64_t>(values.size()), std::vector<bool>(values.size())};
  Plan plan;
  plan.shared_bytes = placer.place(shared, false, last_use);
  plan.member_bytes = placer.place(varying, true, last_use);

  for (std::vector<Launch>* list : {&shared, &varying})
    for (Launch& l : *list)
      for (int32_t i = 0; i < l.operand_count; ++i) {
        Operand& o = l.operands[i];
        if (o.buffer < kFirstValue) continue;
        const int32_t value = o.buffer - kFirstValue;
        o.buffer = values[value].varies ? 1 : 0;
        o.offset += placer.offset[value] / (o.is_index ? 4 : real_bytes);
      }
  return plan;
}

}  // namespace ptmz
