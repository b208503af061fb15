// The three convolutions over columns, chunk by chunk.
#include "backend/cuda/columns.h"

#include <algorithm>
#include <limits>

#include "backend/cuda/cut.h"
#include "backend/cuda/enqueue.h"
#include "backend/cuda/kernels/convolution.h"
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

// Whether the images that go in, or their gradient, are the columns.
bool shows_every_pixel(const Launch& l) {
  const int64_t* ints = l.ints;
  const bool each = ints[0] == 1 && ints[1] == 1 && ints[2] == 0 && ints[3] == 0 && ints[9] == 1 && ints[10] == 1;
  const int64_t* strides = l.operands[roles_of(l.code).x].strides;
  const int64_t plane = l.shape[2] * l.shape[3];
  if (channels_last(l, kInputsLast)) return each;
  return each && (l.shape[0] == 1 || strides[0] == plane) && (l.shape[1] == 1 || strides[1] == l.shape[0] * plane);
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
        taps_(l_.ints[9] * l_.ints[10]),
        group_depth_(l_.shape[1] / l_.ints[6] * taps_),
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
  // What is made of an operand is there once for all members where that operand is.
  struct Place {
    char* data;
    int64_t member_bytes;
  };
  // A row for each channel, or each channel and tap, and a column for each pixel. Rows are `lead` elements apart, or
  // `by_column` columns are.
  struct Rows {
    Place place;
    int64_t lead;
    bool by_column;
  };
  bool moves() const { return cut_.scratch_bytes > 0; }
  Place scratch() const {
    return {static_cast<char*>(given_.scratch), given_.member_bytes[role_.x] == 0 ? 0 : l_.scratch_bytes};
  }
  Place images(int operand) const {
    const int64_t apart = l_.operands[operand].strides[0] * element_;
    return {static_cast<char*>(given_.pointers[operand]) + first_ * apart, given_.member_bytes[operand]};
  }
  Rows rows_of(int operand, int64_t which) const {
    const bool last = channels_last(l_, which);
    return {images(operand), l_.operands[operand].strides[last ? 3 : 1], last};
  }
  Rows columns() const {
    if (!moves()) return rows_of(role_.x, kInputsLast);
    const bool last = channels_last(l_, kInputsLast);
    return {scratch(), last ? l_.shape[1] * taps_ : pixels(), last};
  }
  Rows weights() const {
    return {{static_cast<char*>(given_.pointers[role_.w]), given_.member_bytes[role_.w]}, group_depth_, false};
  }

  // The kernels find how the images lie in the operand that they are in this launch, too.
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
    const Kernel kernel = columns_kernel(what, given_.real, channels_last(l_, kInputsLast));
    return cudaLaunchKernel(kernel, grid, dim3(kThreads), arguments, 0, stream_);
  }
  cudaError_t gather_columns() {
    const int64_t blocks = channels_last(l_, kInputsLast) ? divide_up(pixels() * l_.shape[1] * taps_, kThreads)
                                                          : l_.shape[1] * divide_up(pixels(), kThreads);
    return move(ColumnsMove::gather, scratch(), images(role_.x), blocks);
  }
  cudaError_t add_columns() {
    return move(ColumnsMove::add, images(role_.x), scratch(),
                divide_up(images_ * l_.shape[1] * l_.shape[2] * l_.shape[3], kThreads));
  }

  int64_t pixels() const { return images_ * l_.shape[5] * l_.shape[6]; }
  // The part of a group that has so many rows.
  Matrices part(const Rows& all, int64_t rows, bool transposed) const {
    return {all.place.data + group_ * rows * (all.by_column ? 1 : all.lead) * element_, transposed != all.by_column,
            all.lead, all.place.member_bytes / element_};
  }
  cudaError_t multiply() {
    const int64_t n = pixels(), k = group_depth_, o = group_outputs_;
    const auto inputs = [&](bool t) { return part(columns(), k, t); };
    const auto outputs = [&] { return part(rows_of(role_.y, kOutputsLast), o, false); };
    const auto factors = [&](bool t) { return part(weights(), o, t); };
    MatrixProduct p;
    switch (l_.code) {
      case LaunchCode::conv2d:
        p = {o, n, k, given_.members, factors(false), inputs(false), outputs(), false};
        break;
      case LaunchCode::conv2d_input:
        p = {k, n, o, given_.members, factors(true), outputs(), inputs(false), false};
        break;
      default:  // chunks are added up in their order
        p = {o, k, n, given_.members, outputs(), inputs(true), factors(false), first_ > 0};
    }
    return products_.multiply(p, given_.real, l_.precision);
  }

  cudaError_t chunk() {
    const bool input = l_.code == LaunchCode::conv2d_input;
    cudaError_t error = moves() && !input ? gather_columns() : cudaSuccess;
    for (group_ = 0; group_ < l_.ints[6] && error == cudaSuccess; ++group_) error = multiply();
    if (error == cudaSuccess && moves() && input) error = add_columns();
    return error;
  }

  const DeviceLaunch& given_;
  const Launch& l_;
  const Roles role_;
  Products& products_;
  const cudaStream_t stream_;
  const int64_t element_;
  const ImageCut cut_;
  const int64_t taps_, group_depth_, group_outputs_;
  int64_t first_ = 0, images_ = 0;  // of the chunk
  int64_t group_ = 0;
};

}  // namespace

ImageCut cut_images(const Launch& l, int64_t element_bytes) {
  const int64_t pixels = l.shape[5] * l.shape[6], depth = l.shape[1] * l.ints[9] * l.ints[10];
  const int64_t image_bytes = depth * pixels * element_bytes, count = l.shape[0];
  ImageCut cut;
  if (count == 0 || image_bytes == 0 || count * pixels > std::numeric_limits<int>::max()) return cut;
  if (shows_every_pixel(l)) {
    cut.images = count;
    cut.chunks = 1;
    return cut;
  }
  if (image_bytes > columns_bytes()) return cut;
  cut.chunks = divide_up(count, columns_bytes() / image_bytes);
  cut.images = divide_up(count, cut.chunks);
  cut.chunks = divide_up(count, cut.images);
  cut.scratch_bytes = divide_up(cut.images * image_bytes, 64) * 64;
  return cut;
}

cudaError_t multiply_columns(const DeviceLaunch& launch, Products& products, cudaStream_t stream) {
  if (launch.members == 0) return cudaSuccess;
  return ColumnsProduct(launch, products, stream).run();
}

}  // namespace ptmz::cuda
