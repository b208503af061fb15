// Stride arithmetic of views and of iteration spaces.
#include "compile/view.h"

namespace ptmz {

Shape dense_strides(const Shape& shape) {
  Shape strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

const std::vector<int64_t>& image_axes(ImageOrder order) {
  static const std::vector<int64_t> written{0, 1, 2, 3}, outermost{1, 0, 2, 3}, last{0, 2, 3, 1};
  return order == ImageOrder::channels_outermost ? outermost : order == ImageOrder::channels_last ? last : written;
}

Shape image_strides(const Shape& shape, ImageOrder order) {
  const std::vector<int64_t>& axes = image_axes(order);
  Shape strides(4);
  int64_t stride = 1;
  for (size_t i = 4; i-- > 0;) {
    strides[axes[i]] = stride;
    stride *= shape[axes[i]];
  }
  return strides;
}

bool has_strides(const View& view, const Shape& strides) {
  for (size_t i = 0; i < strides.size(); ++i)
    if (view.shape[i] != 1 && view.strides[i] != strides[i]) return false;
  return true;
}

bool is_dense(const View& view) { return has_strides(view, dense_strides(view.shape)); }

View permuted(const View& view, const std::vector<int64_t>& order) {
  View out = view;
  for (size_t i = 0; i < order.size(); ++i) {
    out.shape[i] = view.shape[order[i]];
    out.strides[i] = view.strides[order[i]];
  }
  return out;
}

View expanded(const View& view, const Shape& shape) {
  View out = view;
  for (size_t i = 0; i < shape.size(); ++i)
    if (view.shape[i] != shape[i]) out.strides[i] = 0;
  out.shape = shape;
  return out;
}

View sliced(const View& view, const std::vector<int64_t>& start_stop_step) {
  View out = view;
  const size_t rank = view.shape.size();
  for (size_t i = 0; i < rank; ++i) {
    const int64_t start = start_stop_step[i], stop = start_stop_step[rank + i], step = start_stop_step[2 * rank + i];
    out.offset += start * view.strides[i];
    out.shape[i] = (stop - start + step - 1) / step;
    out.strides[i] = view.strides[i] * step;
  }
  return out;
}

std::optional<View> reshaped(const View& view, const Shape& shape) {
  // Old axes without those of size 1, merged into runs that are walked as one.
  std::vector<int64_t> sizes, strides;
  for (size_t i = 0; i < view.shape.size(); ++i) {
    if (view.shape[i] == 1) continue;
    if (!sizes.empty() && strides.back() == view.strides[i] * view.shape[i]) {
      sizes.back() *= view.shape[i];
      strides.back() = view.strides[i];
    } else {
      sizes.push_back(view.shape[i]);
      strides.push_back(view.strides[i]);
    }
  }
  View out = view;
  out.shape = shape;
  out.strides.assign(shape.size(), 0);
  // Each new axis must divide what is left of the current run, from the innermost outwards.
  size_t run = sizes.size();
  int64_t left = 1, stride = 0;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (left == 1) {
      if (run == 0) return std::nullopt;
      --run;
      left = sizes[run];
      stride = strides[run];
    }
    if (left % shape[i] != 0) return std::nullopt;
    out.strides[i] = stride;
    stride *= shape[i];
    left /= shape[i];
  }
  return out;
}

View split(const View& view, int64_t lanes) {
  View out = view;
  out.lanes = 0;
  out.shape = {set_count(view.shape[0], lanes), view.shape[1], view.shape[2], view.shape[3], lanes};
  out.strides = {view.strides[0] * lanes, view.strides[1], view.strides[2], view.strides[3], view.strides[0]};
  if (view.lanes > 0) out.strides = dense_strides(out.shape);
  return out;
}

void collapse(Launch& l) {
  int32_t rank = 0, kept = 0;
  const int32_t old_kept = l.kept_rank;
  for (int32_t d = 0; d < l.rank; ++d) {
    if (d == old_kept) kept = rank;
    if (l.shape[d] == 1) continue;
    const bool section_start = rank == (d >= old_kept ? kept : 0);
    bool merge = !section_start;
    for (int32_t i = 0; merge && i < l.operand_count; ++i)
      merge = l.operands[i].buffer < 0 || l.operands[i].strides[rank - 1] == l.operands[i].strides[d] * l.shape[d];
    const int32_t to = merge ? rank - 1 : rank++;
    l.shape[to] = merge ? l.shape[to] * l.shape[d] : l.shape[d];
    for (int32_t i = 0; i < l.operand_count; ++i) l.operands[i].strides[to] = l.operands[i].strides[d];
  }
  if (old_kept >= l.rank) kept = rank;
  for (int32_t d = rank; d < l.rank; ++d)
    for (int32_t i = 0; i < l.operand_count; ++i) l.operands[i].strides[d] = 0;
  l.rank = rank;
  l.kept_rank = kept;
}

}  // namespace ptmz
