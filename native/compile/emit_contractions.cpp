// Matrix products and convolutions.
#include <algorithm>

#include "compile/emit.h"

namespace ptmz {
namespace {

// Floating-point operations from which a convolution is worth a layout of its own.
constexpr double kLeastLanesWork = 1e5;
// Channels that a convolution's input gradient adds up from which its weights are worth a copy: as they are, the next
// one's lie a row of kernels away.
constexpr int64_t kManySources = 128;

// A matrix that the kernel can read: one unit stride, the other at least the length of a row. `rows`, `cols`: axes.
View matrix(Emitter& e, NodeId id, bool transpose) {
  const auto fits = [&](View& v) {
    const size_t r = v.shape.size();
    int64_t &rows = v.shape[r - 2], &cols = v.shape[r - 1], &rs = v.strides[r - 2], &cs = v.strides[r - 1];
    if (v.buffer < 0) return false;
    if (rows == 1 && cols == 1)
      rs = cs = 1;
    else if (rows == 1 && cs == 1)
      rs = cols;
    else if (rows == 1 && cs >= 1)
      rs = 1;
    else if (cols == 1 && rs == 1)
      cs = rows;
    else if (cols == 1 && rs >= 1)
      cs = 1;
    return (cs == 1 && rs >= cols) || (rs == 1 && cs >= rows);
  };
  View v = e.view(id);
  if (!fits(v)) {
    v = e.dense(id);
    fits(v);
  }
  if (transpose) {
    const size_t r = v.shape.size();
    std::swap(v.shape[r - 2], v.shape[r - 1]);
    std::swap(v.strides[r - 2], v.strides[r - 1]);
  }
  return v;
}

// Weights (O,I,KH,KW) copied such that the kernels of all outputs for one input lie side by side.
View with_outputs_inside(Emitter& e, NodeId id, const View& weights) {
  const Shape& s = weights.shape;
  const View to = e.new_value({s[1], s[0], s[2], s[3]}, false, weights.varies);
  e.copy(id, to, permuted(weights, {1, 0, 2, 3}));
  return permuted(to, {1, 0, 2, 3});
}

}  // namespace

void emit_matmul(Emitter& e, NodeId id) { e.finish(matmul_launch(e, id, e.target(id))); }

Launch matmul_launch(Emitter& e, NodeId id, const View& to) {
  const Node& n = e.graph[id];
  const View a = matrix(e, n.inputs[0], n.attrs.ints[0] != 0), b = matrix(e, n.inputs[1], n.attrs.ints[1] != 0);
  const size_t r = n.shape.size();
  // Rows of a that follow each other across the batch while b stays are one taller matrix: one product.
  size_t batch = r - 2;
  int64_t m = n.shape[r - 2];
  while (batch > 0 && (b.strides[batch - 1] == 0 || n.shape[batch - 1] == 1) &&
         (a.strides[batch - 1] == m * a.strides[r - 2] || n.shape[batch - 1] == 1) && a.strides[r - 1] == 1)
    m *= n.shape[--batch];
  Shape space(n.shape.begin(), n.shape.begin() + static_cast<int64_t>(batch));
  space.insert(space.end(), {m, n.shape[r - 1], a.shape[r - 1]});
  Launch l = e.begin(LaunchCode::matmul, id, e.varies[id], space);
  std::vector<int64_t> axes;
  for (size_t d = 0; d < batch; ++d) axes.push_back(static_cast<int64_t>(d));
  const auto with = [&](int64_t row, int64_t col, int64_t inner) {
    std::vector<int64_t> out = axes;
    out.insert(out.end(), {row, col, inner});
    return out;
  };
  const int64_t rows = static_cast<int64_t>(r) - 2, cols = rows + 1;
  Emitter::operand(l, to, with(rows, cols, -1));
  Emitter::operand(l, a, with(rows, -1, cols));
  Emitter::operand(l, b, with(-1, cols, rows));
  return l;
}

void emit_conv(Emitter& e, NodeId id) {
  const Node& n = e.graph[id];
  const ConvAttrs conv = ConvAttrs::from(n.attrs.ints.data());
  const Shape &sa = e.graph.shape(n.inputs[0]), &sb = e.graph.shape(n.inputs[1]);
  // (images, in channels, out channels) from whichever two of x, w, y are given; `a`, `b`: which of these are images.
  const bool weight = n.op == Op::conv2d_weight, a = n.op != Op::conv2d_input, b = n.op != Op::conv2d;
  const LaunchCode code = weight ? LaunchCode::conv2d_weight : a ? LaunchCode::conv2d : LaunchCode::conv2d_input;
  const int64_t images = a ? sa[0] : sb[0], in = a ? sa[1] : n.shape[1], out = weight ? sb[1] : a ? sb[0] : sa[0];
  const double work = 2.0 * static_cast<double>(images * out * conv.out_h() * conv.out_w()) *
                      static_cast<double>(in / conv.groups * conv.kh * conv.kw);
  // A tiny one costs more to reorder than it gains.
  const bool there = (a && e.lanes_of(n.inputs[0]) > 0) || (b && e.lanes_of(n.inputs[1]) > 0);
  const int64_t lanes = there || work >= kLeastLanesWork ? e.backend.image_lanes(images, e.real) : 0;
  // Weights lie as the images do that they are multiplied with.
  const ImageOrder x_order = e.backend.image_order(in), y_order = e.backend.image_order(out);
  const bool ordered = x_order != ImageOrder::as_written;
  const ImageOrder w_order = x_order == ImageOrder::channels_last ? x_order : ImageOrder::as_written;
  const auto weights = [&](NodeId input) { return e.in_order(input, w_order); };
  const auto images_in = [&](NodeId input) {
    return lanes > 0 ? e.in_lanes(input, lanes) : ordered ? e.in_planes(input) : e.dense(input);
  };
  const auto images_out = [&](NodeId input) { return ordered ? e.in_image_order(input) : images_in(input); };
  View first = a ? images_in(n.inputs[0]) : weights(n.inputs[0]);
  const View second = b ? images_out(n.inputs[1]) : weights(n.inputs[1]);
  if (code == LaunchCode::conv2d_input && lanes > 0 && conv.groups == 1 && out >= kManySources)
    first = with_outputs_inside(e, id, first);
  Launch l = e.begin(code, id, e.varies[id], {images, in, conv.h, conv.w, out, conv.out_h(), conv.out_w()});
  std::copy(n.attrs.ints.begin(), n.attrs.ints.end(), l.ints);
  l.ints[kLanesInt] = lanes;
  l.ints[kChannelsLastInt] = (x_order == ImageOrder::channels_last ? kInputsLast : 0) |
                             (y_order == ImageOrder::channels_last ? kOutputsLast : 0);
  const View result = weight ? e.weight_target(id, w_order) : ordered ? e.image_target(id) : e.target(id, lanes);
  const int64_t parts = weight ? e.backend.partial_results(l) : 1;
  const View partial = parts > 1 ? e.new_value({parts, element_count(n.shape)}, false, e.varies[id]) : result;
  if (parts > 1) l.ints[kPartsInt] = parts;
  Emitter::operand(l, partial);
  Emitter::operand(l, first);
  Emitter::operand(l, second);
  e.finish(l);
  if (parts > 1) e.sum_parts(id, result, partial);
}

}  // namespace ptmz
