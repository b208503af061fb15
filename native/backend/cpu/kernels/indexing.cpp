// Indexing kernels: gather along one axis, its adjoint scatter_add, and the positions of max-pool maxima.
#include <math.h>

#include "backend/cpu/kernels/views.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// Maps an index to a position on the axis; -1 for the ignored index and for those out of range, which are reported.
struct IndexRule {
  bool has_ignore;
  int64_t ignore, size;
  KernelFault& fault;

  IndexRule(const Call& call, int64_t axis_size)
      : has_ignore(call.launch.ints[1] != 0), ignore(call.launch.ints[2]), size(axis_size), fault(call.fault) {}
  int64_t operator()(int64_t index) const {
    if (index >= 0 && index < size && !(has_ignore && index == ignore)) return index;
    if (!(has_ignore && index == ignore)) report_fault(fault, index, size);
    return -1;
  }
};

// Walks runs along the last of some axes, with a stride per axis for each of three operands.
struct Walker {
  int rank = 0;
  int64_t shape[kLaunchRank], coord[kLaunchRank], strides[kLaunchRank][3], offsets[3];

  void append(int64_t size, int64_t a, int64_t b, int64_t c) {
    if (size == 1) return;
    shape[rank] = size;
    strides[rank][0] = a;
    strides[rank][1] = b;
    strides[rank++][2] = c;
  }
  // One axis at least, so that there is always a run.
  void finish() {
    if (rank > 0) return;
    append(2, 0, 0, 0);
    shape[0] = 1;
  }
  int64_t run_left() const { return shape[rank - 1] - coord[rank - 1]; }
  int64_t inner(int operand) const { return strides[rank - 1][operand]; }
  void seek(int64_t index) {
    for (int k = 0; k < 3; ++k) offsets[k] = 0;
    for (int d = rank - 1; d >= 0; --d) {
      coord[d] = d > 0 ? index % shape[d] : index;
      index /= shape[d];
      for (int k = 0; k < 3; ++k) offsets[k] += coord[d] * strides[d][k];
    }
  }
  void advance(int64_t count) {
    int d = rank - 1;
    coord[d] += count;
    for (int k = 0; k < 3; ++k) offsets[k] += count * strides[d][k];
    for (; d > 0 && coord[d] == shape[d]; --d) {
      for (int k = 0; k < 3; ++k) offsets[k] += strides[d - 1][k] - shape[d] * strides[d][k];
      coord[d] = 0;
      ++coord[d - 1];
    }
  }
};

// out[p] = x[p with index[p] on the axis]
template <typename T>
void gather(const Call& call) {
  const Launch& launch = call.launch;
  const int axis = static_cast<int>(launch.ints[0]);
  const int64_t *x_strides = launch.operands[1].strides, *index_strides = launch.operands[2].strides;
  const int64_t x_step = x_strides[axis], count = product(launch.shape, 0, launch.rank);
  const IndexRule rule(call, launch.ints[3]);
  T* out = static_cast<T*>(call.pointers[0]);
  const T* x_base = static_cast<const T*>(call.pointers[1]);
  const int32_t* index_base = static_cast<const int32_t*>(call.pointers[2]);

  Walker walker;
  for (int d = 0; d < launch.rank; ++d)
    walker.append(launch.shape[d], d == axis ? 0 : x_strides[d], index_strides[d], 0);
  walker.finish();
  const int64_t begin = smaller(call.begin * kMapBlock, count), end = smaller(call.end * kMapBlock, count);
  walker.seek(begin);
  const int64_t x_inner = walker.inner(0), index_inner = walker.inner(1);
  for (int64_t i = begin; i < end;) {
    const int64_t n = smaller(walker.run_left(), end - i);
    const T* x = x_base + walker.offsets[0];
    const int32_t* index = index_base + walker.offsets[1];
    if (index_inner == 0) {
      const int64_t position = rule(*index);
      if (position < 0) {
        fill_block(out + i, T(0), n);
      } else {
        load_run(out + i, x + position * x_step, x_inner, n);
      }
    } else {
      for (int64_t j = 0; j < n; ++j) {
        const int64_t position = rule(index[j * index_inner]);
        out[i + j] = position < 0 ? T(0) : x[position * x_step + j * x_inner];
      }
    }
    walker.advance(n);
    i += n;
  }
}

// out[p with index[p] on the axis] += g[p]. A position is a place off the axis: only it touches its part of the output,
// and it adds in ascending order along the axis.
template <typename T>
void scatter_add(const Call& call) {
  const Launch& launch = call.launch;
  const int axis = static_cast<int>(launch.ints[0]);
  const int64_t in_size = launch.shape[axis], out_size = launch.ints[3];
  const Operand &out_view = launch.operands[0], &g_view = launch.operands[1], &index_view = launch.operands[2];
  const int64_t out_step = out_view.strides[axis], g_step = g_view.strides[axis], index_step = index_view.strides[axis];
  const IndexRule rule(call, out_size);

  Walker walker;
  int64_t count = 1;
  for (int d = 0; d < launch.rank; ++d) {
    if (d == axis) continue;
    count *= launch.shape[d];
    walker.append(launch.shape[d], out_view.strides[d], g_view.strides[d], index_view.strides[d]);
  }
  walker.finish();
  const int64_t block = scatter_block(in_size, out_size);
  const int64_t begin = smaller(call.begin * block, count), end = smaller(call.end * block, count);
  walker.seek(begin);
  const int64_t out_inner = walker.inner(0), g_inner = walker.inner(1), index_inner = walker.inner(2);
  // The run is the inner loop where it is the contiguous direction, else the axis is.
  const bool by_run = out_inner <= out_step;
  for (int64_t i = begin; i < end;) {
    const int64_t n = by_run ? smaller(walker.run_left(), end - i) : 1;
    T* out = static_cast<T*>(call.pointers[0]) + walker.offsets[0];
    const T* g = static_cast<const T*>(call.pointers[1]) + walker.offsets[1];
    const int32_t* index = static_cast<const int32_t*>(call.pointers[2]) + walker.offsets[2];
    if (n == 1 && out_step == 1) {
      fill_block(out, T(0), out_size);
    } else {
      for (int64_t a = 0; a < out_size; ++a)
        for (int64_t j = 0; j < n; ++j) out[a * out_step + j * out_inner] = 0;
    }
    for (int64_t a = 0; a < in_size; ++a) {
      const T* g_run = g + a * g_step;
      const int32_t* index_run = index + a * index_step;
      if (n > 1 && index_inner == 0) {
        const int64_t position = rule(*index_run);
        if (position < 0) continue;
        T* out_run = out + position * out_step;
        PTMZ_VECTORISE
        for (int64_t j = 0; j < n; ++j) out_run[j * out_inner] += g_run[j * g_inner];
        continue;
      }
      for (int64_t j = 0; j < n; ++j) {
        const int64_t position = rule(index_run[j * index_inner]);
        if (position >= 0) out[position * out_step + j * out_inner] += g_run[j * g_inner];
      }
    }
    walker.advance(n);
    i += n;
  }
}

struct Pool {
  int64_t h, w, out_h, out_w, kh, kw, stride_h, stride_w, pad_h, pad_w, x_stride_h, x_stride_w;
};

// values[j] = what window position (row, column) of output begin + j of a plane sees; -infinity in the padding.
template <typename T>
void window_values(const Pool& pool, const T* x, int64_t row, int64_t column, int64_t begin, int64_t n, T* values) {
  // Output columns whose window position lies inside: 0 <= ow * stride + shift < w.
  const int64_t shift = column - pool.pad_w, step = pool.stride_w * pool.x_stride_w;
  const int64_t first = shift < 0 ? ceil_divide(-shift, pool.stride_w) : 0;
  const int64_t last = shift < pool.w ? ceil_divide(pool.w - shift, pool.stride_w) : 0;
  int64_t oh = begin / pool.out_w, ow = begin % pool.out_w;
  for (int64_t done = 0; done < n; ++oh, ow = 0) {
    const int64_t run = smaller(pool.out_w - ow, n - done), line = oh * pool.stride_h - pool.pad_h + row;
    const int64_t from = first > ow ? first - ow : 0, to = line >= 0 && line < pool.h ? smaller(run, last - ow) : 0;
    if (from > 0 || to < run) fill_block(values + done, -static_cast<T>(HUGE_VAL), run);
    const T* source = x + line * pool.x_stride_h + (ow * pool.stride_w + shift) * pool.x_stride_w;
    for (int64_t j = from; j < to; ++j) values[done + j] = source[j * step];
    done += run;
  }
}

// Outputs [begin, begin + n) of a plane: each window position in row-major order over all of them at once.
template <typename T>
void pool_block_argmax(const Pool& pool, const T* x, int64_t begin, int64_t n, int32_t* out) {
  T best[kBlock], values[kBlock];
  int32_t corner[kBlock], positions[kBlock];
  int64_t oh = begin / pool.out_w, ow = begin % pool.out_w;
  for (int64_t j = 0; j < n; ++j) {
    const int64_t top = oh * pool.stride_h - pool.pad_h, left = ow * pool.stride_w - pool.pad_w;
    corner[j] = static_cast<int32_t>(top * pool.w + left);
    positions[j] = static_cast<int32_t>((top > 0 ? top : 0) * pool.w + (left > 0 ? left : 0));
    best[j] = -static_cast<T>(HUGE_VAL);
    if (++ow < pool.out_w) continue;
    ow = 0;
    ++oh;
  }
  for (int64_t row = 0; row < pool.kh; ++row)
    for (int64_t column = 0; column < pool.kw; ++column) {
      window_values(pool, x, row, column, begin, n, values);
      const int32_t shift = static_cast<int32_t>(row * pool.w + column);
      for (int64_t j = 0; j < n; ++j) {
        const T value = values[j], old = best[j];
        const bool better = (value > old) | ((value != value) & (old == old));
        best[j] = better ? value : old;
        positions[j] = better ? corner[j] + shift : positions[j];
      }
    }
  memcpy(out, positions, n * sizeof(int32_t));
}

// x (N,C,H,W) strided -> positions (N,C,OH,OW)
template <typename T>
void pool_argmax(const Call& call) {
  const Launch& launch = call.launch;
  const int64_t *shape = launch.shape, *ints = launch.ints, *strides = launch.operands[1].strides;
  const Pool pool{shape[2], shape[3], shape[4], shape[5], ints[0],    ints[1],
                  ints[2],  ints[3],  ints[4],  ints[5],  strides[2], strides[3]};
  const int64_t planes = shape[0] * shape[1], out_plane = pool.out_h * pool.out_w;
  const int64_t block = pool_block(out_plane, pool.kh * pool.kw), end = smaller(call.end * block, planes);
  for (int64_t plane = call.begin * block; plane < end; ++plane) {
    const T* x =
        static_cast<const T*>(call.pointers[1]) + plane / shape[1] * strides[0] + plane % shape[1] * strides[1];
    int32_t* out = static_cast<int32_t*>(call.pointers[0]) + plane * out_plane;
    for (int64_t o = 0; o < out_plane; o += kBlock)
      pool_block_argmax(pool, x, o, smaller(kBlock, out_plane - o), out + o);
  }
}

template <typename T>
void enter_all(KernelTable& table) {
  enter<T>(table, LaunchCode::gather, gather<T>);
  enter<T>(table, LaunchCode::scatter_add, scatter_add<T>);
  enter<T>(table, LaunchCode::pool_argmax, pool_argmax<T>);
}

}  // namespace

void add_indexing(KernelTable& table) {
  enter_all<float>(table);
  enter_all<double>(table);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
