// View: one operand seen as the row-major sequence of the elements of an iteration space; reads and writes blocks of
// it.
#pragma once
#include "backend/cpu/kernels/block.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// A position in a strided operand. Axes are merged where the strides allow it, so a contiguous operand has one axis
// and an operand that is the same element everywhere has none.
struct View {
  int rank = 0;
  int64_t shape[kLaunchRank], stride[kLaunchRank], coord[kLaunchRank];
  int64_t offset = 0;

  bool is_splat() const { return rank == 0; }
  int64_t inner() const { return stride[rank - 1]; }
  // Whether every `size` elements are the same as those before.
  bool repeats(int64_t size) const { return rank == 2 && stride[0] == 0 && shape[1] == size; }
  int64_t run_left() const { return shape[rank - 1] - coord[rank - 1]; }

  // Appends the next inner axis.
  void append(int64_t size, int64_t step) {
    if (size == 1) return;
    if (rank > 0 && stride[rank - 1] == step * size) {
      shape[rank - 1] *= size;
      stride[rank - 1] = step;
      return;
    }
    shape[rank] = size;
    stride[rank++] = step;
  }
  void finish() {
    if (rank == 1 && stride[0] == 0) rank = 0;
    for (int d = 0; d < rank; ++d) coord[d] = 0;
    offset = 0;
  }
  void append_axes(const Launch& launch, const Operand& operand, int begin, int end) {
    for (int d = begin; d < end; ++d) append(launch.shape[d], operand.buffer < 0 ? 0 : operand.strides[d]);
  }

  void seek(int64_t index) {
    offset = 0;
    for (int d = rank - 1; d >= 0; --d) {
      coord[d] = d > 0 ? index % shape[d] : index;
      index /= shape[d];
      offset += coord[d] * stride[d];
    }
  }
  // Moves by `count` steps along an axis without passing its end; the inner axes are at their start.
  void advance(int axis, int64_t count) {
    coord[axis] += count;
    offset += count * stride[axis];
    for (; axis > 0 && coord[axis] == shape[axis]; --axis) {
      offset += stride[axis - 1] - shape[axis] * stride[axis];
      coord[axis] = 0;
      ++coord[axis - 1];
    }
  }
  // Moves by any number of elements.
  void skip(int64_t count) {
    for (int axis = rank - 1; axis >= 0 && count > 0; --axis) {
      const int64_t moved = coord[axis] + count;
      count = axis > 0 ? moved / shape[axis] : 0;
      const int64_t position = moved - count * shape[axis];
      offset += (position - coord[axis]) * stride[axis];
      coord[axis] = position;
    }
  }
};

inline View make_view(const Launch& launch, const Operand& operand) {
  View view;
  view.append_axes(launch, operand, 0, launch.rank);
  view.finish();
  return view;
}

template <typename T>
void copy_run(T* out, const T* x, int64_t n) {
  constexpr int64_t chunk = 32 / sizeof(T);
  if (n >= 64) {
    memcpy(out, x, n * sizeof(T));
  } else if (n >= chunk) {  // chunks of fixed size, the last one overlapping: no call for a short run
    for (int64_t i = 0; i + chunk <= n; i += chunk) memcpy(out + i, x + i, 32);
    memcpy(out + n - chunk, x + n - chunk, 32);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = x[i];
  }
}
template <typename T, typename S>
void convert_run(T* out, const S* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(x[i]);
}

template <typename T, typename S>
void load_run(T* out, const S* x, int64_t stride, int64_t n) {
  if (stride == 1) {
    if constexpr (__is_same(T, S)) return copy_run(out, x, n);
    return convert_run(out, x, n);
  }
  if (stride == 0) return fill_block(out, static_cast<T>(*x), n);
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(x[i * stride]);
}

// Fills runs of n <= width elements over their end; the next row overwrites it. Returns the rows done within `room`.
template <int width, typename T, typename S>
int64_t fill_rows(T* out, const S* x, int64_t rows, int64_t row_stride, int64_t n, int64_t room) {
  int64_t row = 0;
  for (; row < rows && row * n + width <= room; ++row) {
    const T value = static_cast<T>(x[row * row_stride]);
    for (int l = 0; l < width; ++l) out[row * n + l] = value;
  }
  return row;
}

// `rows` runs of n elements each, written one after the other. `room` is what may be written from `out` on.
template <typename T, typename S>
void load_rows(T* out, const S* x, int64_t rows, int64_t row_stride, int64_t n, int64_t stride, int64_t room) {
  if (row_stride == 0) {  // one run again and again: double what is there
    load_run(out, x, stride, n);
    for (int64_t have = n, all = rows * n; have < all; have *= 2)
      memcpy(out + have, out, smaller(have, all - have) * sizeof(T));
    return;
  }
  int64_t row = 0;
  if (stride == 0 && n <= 16) {
    row = n <= 4 ? fill_rows<4>(out, x, rows, row_stride, n, room) : fill_rows<16>(out, x, rows, row_stride, n, room);
  } else if (row_stride == 1 && stride > 1 && n < rows) {  // transposed: along the contiguous axis first
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < rows; ++i) out[i * n + j] = static_cast<T>(x[i + j * stride]);
    return;
  }
  for (; row < rows; ++row) load_run(out + row * n, x + row * row_stride, stride, n);
}

// Reads the next n elements into `out`, behind which `room` - n more may be overwritten.
template <typename T, typename S>
void load_block(View& view, const S* base, T* out, int64_t n, int64_t room) {
  if (view.is_splat()) return fill_block(out, static_cast<T>(*base), n);
  const int last = view.rank - 1;
  const int64_t size = view.shape[last];
  for (int64_t done = 0; done < n;) {
    if (last > 0 && view.coord[last] == 0 && n - done >= size) {
      const int64_t rows = smaller((n - done) / size, view.shape[last - 1] - view.coord[last - 1]);
      load_rows(out + done, base + view.offset, rows, view.stride[last - 1], size, view.inner(), room - done);
      view.advance(last - 1, rows);
      done += rows * size;
    } else {
      const int64_t run = smaller(view.run_left(), n - done);
      load_run(out + done, base + view.offset, view.inner(), run);
      view.advance(last, run);
      done += run;
    }
  }
}

// The next n elements where they lie, or null if they are not contiguous; moves on if they are.
template <typename T>
T* direct_block(View& view, T* base, int64_t n) {
  if (view.is_splat() || view.inner() != 1 || view.run_left() < n) return nullptr;
  T* block = base + view.offset;
  view.advance(view.rank - 1, n);
  return block;
}

template <typename T>
void store_run(T* out, int64_t stride, const T* x, int64_t n) {
  if (stride == 1) return copy_run(out, x, n);
  for (int64_t i = 0; i < n; ++i) out[i * stride] = x[i];
}

// Writes a block to the next n elements.
template <typename T>
void store_block(View& view, T* base, const T* block, int64_t n) {
  if (view.is_splat()) {
    *base = block[0];
    return;
  }
  const int last = view.rank - 1;
  const int64_t size = view.shape[last], stride = view.inner();
  for (int64_t done = 0; done < n;) {
    if (last > 0 && view.coord[last] == 0 && n - done >= size) {
      const int64_t rows = smaller((n - done) / size, view.shape[last - 1] - view.coord[last - 1]);
      for (int64_t row = 0; row < rows; ++row, done += size)
        store_run(base + view.offset + row * view.stride[last - 1], stride, block + done, size);
      view.advance(last - 1, rows);
    } else {
      const int64_t run = smaller(view.run_left(), n - done);
      store_run(base + view.offset, stride, block + done, run);
      view.advance(last, run);
      done += run;
    }
  }
}

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
