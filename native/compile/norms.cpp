// The choice of batch norms that compute what they read.
#include "compile/norms.h"

#include <algorithm>
#include <optional>

namespace ptmz {
namespace {

bool same_place(const Operand& a, const Operand& b) {
  return a.buffer == b.buffer && a.varies == b.varies && a.offset == b.offset;
}
bool same_view(const Launch& l, const Operand& a, const Operand& b) {
  return same_place(a, b) && std::equal(a.strides, a.strides + l.rank, b.strides);
}

// What a norm and the sums before it are together. `sums`: the operand of the norm that those write; its operands from
// the first on are theirs, as many as they have.
struct Pair {
  LaunchCode code;
  int32_t sums;
};
std::optional<Pair> pair_of(LaunchCode first, LaunchCode second) {
  if (first == LaunchCode::batch_statistics && second == LaunchCode::batch_norm)
    return Pair{LaunchCode::batch_norm_training, 2};
  if (first == LaunchCode::batch_statistics && second == LaunchCode::batch_norm_add)
    return Pair{LaunchCode::batch_norm_training_add, 2};
  if (first == LaunchCode::batch_norm_backward_sums && second == LaunchCode::batch_norm_backward_input)
    return Pair{LaunchCode::batch_norm_backward, 6};
  return std::nullopt;
}

bool merges(const Launch& first, const Launch& second, const Device& device) {
  const auto pair = pair_of(first.code, second.code);
  if (!pair || !device.takes_whole_channels(second)) return false;
  const Operand& sums = second.operands[pair->sums];
  const int64_t channels = first.shape[1];
  const bool dense = sums.strides[0] == channels && (channels == 1 || sums.strides[1] == 1);
  if (!dense || !same_place(first.operands[0], sums) || first.varies != second.varies) return false;
  if (!std::equal(first.shape, first.shape + first.rank, second.shape)) return false;
  for (int32_t i = 1; i < first.operand_count; ++i)
    if (!same_view(first, first.operands[i], second.operands[i])) return false;
  return first.code == LaunchCode::batch_statistics || first.ints[0] == second.ints[0];  // both with relu or without
}

// Whether `map` computes, element by element, the gradient that `norm` is given.
bool computes_gradient(const Launch& map, const Launch& norm) {
  if (map.code != LaunchCode::map || map.beside || norm.code != LaunchCode::batch_norm_backward) return false;
  if (!same_place(map.operands[0], norm.operands[1]) || map.varies != norm.varies) return false;
  if (element_count(map) != element_count(norm) || map.operand_count - 1 > kMaxOperands - kNormInputs) return false;
  return std::all_of(map.operands, map.operands + map.operand_count,
                     [&](const Operand& o) { return o.buffer < 0 || (!o.is_index && is_dense(map, o)); });
}

void add_map(Launch& norm, const Launch& map) {
  norm.operand_count = kNormInputs + map.operand_count - 1;
  std::copy(map.operands + 1, map.operands + map.operand_count, norm.operands + kNormInputs);
  norm.also_writes |= 1u << 1;
  norm.instr_begin = map.instr_begin;
  norm.instr_count = map.instr_count;
  norm.result_register = map.result_register;
  norm.register_count = map.register_count;
}

}  // namespace

void merge_norms(std::vector<Launch>& list, const Device& device) {
  std::vector<Launch> merged;
  for (const Launch& l : list) {
    if (merged.empty() || !merges(merged.back(), l, device)) {
      merged.push_back(l);
      continue;
    }
    const Pair pair = *pair_of(merged.back().code, l.code);
    merged.back() = l;
    merged.back().code = pair.code;
    merged.back().also_writes = 1u << pair.sums;
    if (merged.size() > 1 && computes_gradient(merged.end()[-2], merged.back())) {
      add_map(merged.back(), merged.end()[-2]);
      merged.erase(merged.end() - 2);
    }
  }
  list = std::move(merged);
}

}  // namespace ptmz
