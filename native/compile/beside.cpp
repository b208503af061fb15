// The choice of launches that may run at the same time.
#include "compile/beside.h"

#include <algorithm>
#include <limits>

namespace ptmz {
namespace {

constexpr int64_t kSmallMap = 1024;                // elements
constexpr int64_t kSmallValue = int64_t{1} << 16;  // bytes of what is read, which is kept until the end
constexpr int kFewInputs = 5;

bool is_slot(const Operand& o) { return o.buffer >= 2 && o.buffer < kFirstValue; }

// What a launch reads or writes of a slot: from the first element to the last, of maps and sums; of others all there
// is.
struct Part {
  int32_t slot;
  int64_t begin, end;
  bool overlaps(const Part& other) const { return slot == other.slot && begin < other.end && other.begin < end; }
};
Part part_of(const Launch& l, const Operand& o) {
  const bool strided =
      l.code == LaunchCode::map || l.code == LaunchCode::reduce_sum || l.code == LaunchCode::reduce_max;
  if (!strided) return {o.buffer, 0, std::numeric_limits<int64_t>::max()};
  int64_t last = o.offset;
  for (int32_t d = 0; d < l.rank; ++d) last += (l.shape[d] - 1) * o.strides[d];
  return {o.buffer, o.offset, last + 1};
}

bool is_small(const Launch& l, const std::vector<PlannedValue>& values) {
  if (l.code != LaunchCode::map || !is_slot(l.operands[0]) || element_count(l) > kSmallMap) return false;
  if (l.operand_count > 1 + kFewInputs) return false;
  return std::all_of(l.operands, l.operands + l.operand_count, [&](const Operand& o) {
    if (o.buffer < 0) return true;
    const bool small =
        o.buffer < kFirstValue || values[static_cast<size_t>(o.buffer - kFirstValue)].bytes <= kSmallValue;
    return small && !o.is_index && is_dense(l, o);
  });
}

// Moves to the end of the list the small maps that nothing else waits for: they write parts of output slots that are
// their own, and read what stays as it is.
void gather_small_maps(const std::vector<Launch>& shared, std::vector<Launch>& varying,
                       const std::vector<PlannedValue>& values) {
  std::vector<Part> used;  // read by any launch, or written by a map
  for (const std::vector<Launch>* list : {&shared, static_cast<const std::vector<Launch>*>(&varying)})
    for (const Launch& l : *list)
      for (int32_t i = l.code == LaunchCode::map ? 0 : 1; i < l.operand_count; ++i)
        if (is_slot(l.operands[i])) used.push_back(part_of(l, l.operands[i]));
  const auto waits = [&](const Launch& l) {
    if (!is_small(l, values)) return true;
    const Part own = part_of(l, l.operands[0]);  // meets itself once
    return std::count_if(used.begin(), used.end(), [&](const Part& p) { return p.overlaps(own); }) > 1;
  };
  const auto first = std::stable_partition(varying.begin(), varying.end(), waits);
  for (auto map = first; map != varying.end(); ++map) map->beside = map != first;
}

// Whether a launch reads what another one writes. No launch writes what an earlier one reads: values are written once.
bool reads_from(const Launch& l, const Launch& other) {
  return std::any_of(l.operands + 1, l.operands + l.operand_count,
                     [&](const Operand& o) { return o.buffer >= 0 && o.buffer == other.operands[0].buffer; });
}

}  // namespace

void find_beside(const std::vector<Launch>& shared, std::vector<Launch>& varying,
                 const std::vector<PlannedValue>& values, const Device& device, DType real) {
  size_t first = 0;  // of those that the next one may be beside
  for (size_t i = 0; i < varying.size(); ++i) {
    const auto group = varying.begin() + static_cast<std::ptrdiff_t>(first),
               here = varying.begin() + static_cast<std::ptrdiff_t>(i);
    const bool side = device.runs_beside(*here, real);
    here->beside = side && group != here && here->varies == group->varies &&
                   std::none_of(group, here, [&](const Launch& l) { return reads_from(*here, l); });
    if (!here->beside) first = side ? i : i + 1;
  }
  gather_small_maps(shared, varying, values);
}

void part_scratch(std::vector<Launch>& list) {
  for (size_t i = 1; i < list.size(); ++i) {
    if (!list[i].beside) continue;
    list[i].scratch_before = list[i - 1].scratch_before + list[i - 1].scratch_bytes;
    list[i].tickets_before = list[i - 1].tickets_before + list[i - 1].tickets;
  }
}

}  // namespace ptmz
