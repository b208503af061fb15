// The three convolutions over columns, chunk by chunk.
#include "backend/cuda/columns.h"

#include <algorithm>

#include "backend/cuda/cut.h"
#include "backend/cuda/enqueue.h"
#include "backend/cuda/kernels/table.h"
#include "backend/cuda/way.h"

namespace ptmz::cuda {
namespace {

// Which operands of a launch are the images that go in, the weights and the images that come out.
struct Roles {
  int x, w, y;
};
Roles roles_of(LaunchCode code) {
  switch (code) {
    case LaunchCode::conv2d:
      return {1, 2, 0};
    case LaunchCode::conv2d_input:
      return {0, 1, 2};
    default:
      return {1, 0, 2};
  }
}

class ColumnsProduct {
 public:
  ColumnsProduct(const DeviceLaunch& given, Products& products, cudaStream_t stream)
      : given_(given),
        l_(*given.launch),
        role_(roles_of(l_.code)),
        products_(products),
        stream_(stream),
        element_(given.real == DType::f64 ? 8 : 4),
        cut_(cut_images(l_, element_)),
        group_depth_(l_.shape[1] / l_.ints[6] * l_.ints[9] * l_.ints[10]),
        group_outputs_(l_.shape[4] / l_.ints[6]) {}

  cudaError_t run() {
    for (int64_t first = 0; first < l_.shape[0]; first += cut_.images) {
      first_ = first;
      images_ = std::min(cut_.images, l_.shape[0] - first);
      const cudaError_t error = chunk();
      if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
  }

 private:
  // What lies in scratch is there once for all members where the operand that it is made of is.
  struct Place {
    char* data;
    int64_t member_bytes;
  };
  Place columns() const { return scratch(role_.x, 0); }
  Place rows() const {
    // The rows of one image are that image.
    if (images_ == 1) return images(role_.y, l_.shape[4] * l_.shape[5] * l_.shape[6]);
    return scratch(role_.y, cut_.rows_at);
  }
  Place scratch(int of, int64_t at) const {
    return {static_cast<char*>(given_.scratch) + at, given_.member_bytes[of] == 0 ? 0 : l_.scratch_bytes};
  }
  Place images(int operand, int64_t size) const {
    return {static_cast<char*>(given_.pointers[operand]) + first_ * size * element_, given_.member_bytes[operand]};
  }
  Place inputs() const { return images(role_.x, l_.shape[1] * l_.shape[2] * l_.shape[3]); }
  Place outputs() const { return images(role_.y, l_.shape[4] * l_.shape[5] * l_.shape[6]); }
  Place weights() const { return {static_cast<char*>(given_.pointers[role_.w]), given_.member_bytes[role_.w]}; }

  cudaError_t move(ColumnsMove what, Place to, Place from, int64_t groups) {
    Task task = task_of(given_);
    task.shape[0] = images_;
    task.operands[0].base = to.data;
    task.operands[0].member_bytes = to.member_bytes;
    task.operands[1].base = from.data;
    task.operands[1].member_bytes = from.member_bytes;
    void* arguments[] = {&task};
    const int64_t members = to.member_bytes == 0 ? 1 : given_.members;
    const dim3 grid(static_cast<unsigned>(groups), static_cast<unsigned>(members));
    return cudaLaunchKernel(columns_kernel(what, given_.real), grid, dim3(kThreads), arguments, 0, stream_);
  }
  cudaError_t gather_columns() {
    return move(ColumnsMove::gather, columns(), inputs(), l_.shape[1] * divide_up(pixels(), kThreads));
  }
  cudaError_t add_columns() {
    return move(ColumnsMove::add, inputs(), columns(),
                divide_up(images_ * l_.shape[1] * l_.shape[2] * l_.shape[3], kThreads));
  }
  cudaError_t move_rows(ColumnsMove what, Place to, Place from) {
    return images_ == 1 ? cudaSuccess : move(what, to, from, divide_up(l_.shape[4] * pixels(), kThreads));
  }

  int64_t pixels() const { return images_ * l_.shape[5] * l_.shape[6]; }
  // One group's part of a matrix with `size` elements of each.
  Matrices part(Place place, bool transposed, int64_t lead, int64_t group, int64_t size) const {
    return {place.data + group * size * element_, transposed, lead, place.member_bytes / element_};
  }
  cudaError_t multiply(int64_t group) {
    const int64_t n = pixels(), k = group_depth_, o = group_outputs_;
    const auto columns_of = [&](bool t) { return part(columns(), t, n, group, k * n); };
    const auto rows_of = [&](bool t) { return part(rows(), t, n, group, o * n); };
    const auto weights_of = [&](bool t) { return part(weights(), t, k, group, o * k); };
    MatrixProduct p;
    switch (l_.code) {
      case LaunchCode::conv2d:
        p = {o, n, k, given_.members, weights_of(false), columns_of(false), rows_of(false), false};
        break;
      case LaunchCode::conv2d_input:
        p = {k, n, o, given_.members, weights_of(true), rows_of(false), columns_of(false), false};
        break;
      default:  // chunks are added up in their order
        p = {o, k, n, given_.members, rows_of(false), columns_of(true), weights_of(false), first_ > 0};
    }
    return products_.multiply(p, given_.real, l_.precision);
  }

  cudaError_t chunk() {
    cudaError_t error = cudaSuccess;
    const bool forward = l_.code == LaunchCode::conv2d, input = l_.code == LaunchCode::conv2d_input;
    if (!input) error = gather_columns();
    if (error == cudaSuccess && !forward) error = move_rows(ColumnsMove::to_rows, rows(), outputs());
    for (int64_t group = 0; group < l_.ints[6] && error == cudaSuccess; ++group) error = multiply(group);
    if (error == cudaSuccess && forward) error = move_rows(ColumnsMove::from_rows, outputs(), rows());
    if (error == cudaSuccess && input) error = add_columns();
    return error;
  }

  const DeviceLaunch& given_;
  const Launch& l_;
  const Roles role_;
  Products& products_;
  const cudaStream_t stream_;
  const int64_t element_;
  const ImageCut cut_;
  const int64_t group_depth_, group_outputs_;
  int64_t first_ = 0, images_ = 0;  // of the chunk
};

}  // namespace

ImageCut cut_images(const Launch& l, int64_t element_bytes) {
  const int64_t pixels = l.shape[5] * l.shape[6], depth = l.shape[1] * l.ints[9] * l.ints[10], outputs = l.shape[4];
  const int64_t image_bytes = (depth + outputs) * pixels * element_bytes, count = l.shape[0];
  ImageCut cut;
  if (count == 0 || image_bytes == 0 || depth == 0 || image_bytes > columns_bytes()) return cut;
  cut.chunks = divide_up(count, columns_bytes() / image_bytes);
  cut.images = divide_up(count, cut.chunks);
  cut.chunks = divide_up(count, cut.images);
  cut.rows_at = divide_up(cut.images * depth * pixels * element_bytes, 64) * 64;
  cut.scratch_bytes = cut.rows_at + divide_up(cut.images * outputs * pixels * element_bytes, 64) * 64;
  return cut;
}

cudaError_t multiply_columns(const DeviceLaunch& launch, Products& products, cudaStream_t stream) {
  if (launch.members == 0) return cudaSuccess;
  return ColumnsProduct(launch, products, stream).run();
}

}  // namespace ptmz::cuda
