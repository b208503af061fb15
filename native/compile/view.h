// View: how a node's value is read - a place in memory with strides, or an immediate constant.
#pragma once
#include <optional>

#include "backend/backend.h"
#include "ir/graph.h"

namespace ptmz {

struct View {
  int32_t buffer = -1;  // as in Operand; -1: the immediate `value`
  bool varies = false, is_index = false;
  int64_t offset = 0;
  Shape shape, strides;
  double value = 0;
  // 0: plain, addressed by strides. Else memory is [sets][C][H][W][lanes], dense: images in the SIMD lanes. Lanes that
  // the last set has no images for repeat the last image, so that they are finite wherever the images are.
  int64_t lanes = 0;
};

Shape dense_strides(const Shape& shape);
// The axes of (N,C,H,W), or of weights (O,C,KH,KW), from the outermost in memory to the innermost, and their strides.
const std::vector<int64_t>& image_axes(ImageOrder order);
Shape image_strides(const Shape& shape, ImageOrder order);
bool is_dense(const View& view);                           // row-major without gaps
bool has_strides(const View& view, const Shape& strides);  // but for axes of size 1

View permuted(const View& view, const std::vector<int64_t>& order);
View expanded(const View& view, const Shape& shape);
View sliced(const View& view, const std::vector<int64_t>& start_stop_step);
// The same elements under another shape, where strides can say it.
std::optional<View> reshaped(const View& view, const Shape& shape);

// Sets of lanes that hold `images`.
inline int64_t set_count(int64_t images, int64_t lanes) { return (images + lanes - 1) / lanes; }
// (N,C,H,W) as (sets,C,H,W,lanes), of a plain view or of one in these lanes. Of a plain one whose N they do not divide
// the end lies outside.
View split(const View& view, int64_t lanes);

// A launch's iteration space: drops axes of size 1 and merges neighbours that every operand walks as one, within
// [0, kept_rank) and [kept_rank, rank) separately.
void collapse(Launch& launch);

}  // namespace ptmz
