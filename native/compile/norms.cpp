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

}  // namespace

void merge_norms(std::vector<Launch>& list, const Device& device) {
  std::vector<Launch> merged;
  for (const Launch& l : list) {
    if (!merged.empty() && merges(merged.back(), l, device)) {
      const LaunchCode code = pair_of(merged.back().code, l.code)->code;
      merged.back() = l;
      merged.back().code = code;
    } else {
      merged.push_back(l);
    }
  }
  list = std::move(merged);
}

}  // namespace ptmz
