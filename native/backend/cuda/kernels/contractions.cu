// Contractions: matmul and the three convolutions as one tiled product C[row, column] = sum over depth of
// A[row, depth] B[depth, column]. A convolution's matrices are never written out: a tile is gathered as it is loaded.
#include <type_traits>

#include "backend/cuda/kernels/convolution.h"
#include "backend/cuda/kernels/evaluate.h"
#include "backend/cuda/kernels/index.h"
#include "backend/cuda/kernels/splits.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {
namespace {

// A position along the depth, taken apart once for a whole slice of a tile.
struct Depth {
  int64_t a;        // what it adds to the address of A
  int32_t i, j, k;  // the rest is the problem's own
};
// A column, taken apart once per thread where a thread always loads the same one.
struct Column {
  int64_t at;
  int32_t i, j;
  bool inside;
};

// ---- the problems: sizes, addresses and what a matrix holds where it has no memory

// Operands: out (dense), a, b with strides over (batch..., M, N, K).
template <typename T>
struct Matmul {
  int64_t rows, columns, depth;
  const T *a, *b;
  T* c;
  int64_t a_row, a_depth, b_column, b_depth;

  __device__ Matmul(const Task& task, int64_t item) {
    const int batch_rank = task.rank - 3;
    rows = task.shape[batch_rank];
    columns = task.shape[batch_rank + 1];
    depth = task.shape[batch_rank + 2];
    a = base_of<const T>(task, 1);
    b = base_of<const T>(task, 2);
    c = base_of<T>(task, 0) + item * rows * columns;
    for (int d = batch_rank - 1; d >= 0; --d) {
      const int64_t i = item % task.shape[d];
      item /= task.shape[d];
      a += i * task.operands[1].strides[d];
      b += i * task.operands[2].strides[d];
    }
    a_row = task.operands[1].strides[batch_rank];
    a_depth = task.operands[1].strides[batch_rank + 2];
    b_column = task.operands[2].strides[batch_rank + 1];
    b_depth = task.operands[2].strides[batch_rank + 2];
  }
  __device__ bool a_depth_is_inner() const { return a_depth == 1; }
  __device__ bool b_depth_is_inner() const { return b_depth == 1; }
  __device__ Depth depth_at(int64_t k) const { return {k * a_depth, static_cast<int32_t>(k), 0, 0}; }
  __device__ Column column_at(int64_t j) const { return {j * b_column, 0, 0, true}; }
  __device__ T load_a(int64_t row, const Depth& k) const { return a[row * a_row + k.a]; }
  __device__ T load_b(const Depth& k, const Column& j) const { return b[k.i * b_depth + j.at]; }
  __device__ T* place(int64_t row, int64_t column) const { return c + row * columns + column; }
};

// With instructions (map_behind() of launch.h), which the thread that has stored an element applies to it.
template <typename T>
struct MatmulBehind : Matmul<T> {
  __device__ MatmulBehind(const Task& task, int64_t item) : Matmul<T>(task, item) {}
  // To W elements of a row, `step` columns apart, as far as there are columns.
  template <int W>
  __device__ void apply(const Task& task, int64_t row, int64_t column, int step) const {
    PTMZ_DYNAMIC_SHARED(T, shared);
    Registers<T, W> registers(shared);
    PTMZ_UNROLL
    for (int w = 0; w < W; ++w) {
      const int64_t c = column + w * step;
      if (c >= this->columns) continue;
      registers.at(0, w) = *this->place(row, c);
      for (int i = 3; i < task.operand_count; ++i) {
        const int64_t* strides = task.operands[i].strides;
        registers.at(i - 2, w) = read_operand<T>(task, i, [&] { return row * strides[0] + c * strides[1]; });
      }
    }
    registers.run(task.instrs, task.instr_count);
    PTMZ_UNROLL
    for (int w = 0; w < W; ++w)
      if (column + w * step < this->columns)
        *this->place(row, column + w * step) = registers.at(task.result_register, w);
  }
};
template <typename T, template <typename> class Problem>
constexpr bool kApplies = std::is_same_v<Problem<T>, MatmulBehind<T>>;

// y[o, (n,oh,ow)] = sum over (c,kh,kw) of w[o, (c,kh,kw)] x[n, c, oh stride - pad + kh dilation, ...]
template <typename T>
struct ConvForward {
  const Sizes s;
  const Images from, to;
  const Kernels kernels;
  int64_t rows, columns, depth;
  const T *x, *w;
  T* y;

  __device__ ConvForward(const Task& task, int64_t group) : s(task), from(task, 1), to(task, 0), kernels(task, 2) {
    rows = s.group_o;
    columns = static_cast<int64_t>(s.n) * s.oh * s.ow;
    depth = static_cast<int64_t>(s.group_c) * s.taps;
    x = base_of<const T>(task, 1) + group * s.group_c * from.channel;
    w = base_of<const T>(task, 2) + group * s.group_o * kernels.output;
    y = base_of<T>(task, 0) + group * s.group_o * to.channel;
  }
  __device__ bool a_depth_is_inner() const { return true; }
  __device__ bool b_depth_is_inner() const { return kernels.channels_last; }
  // Channels and taps in the order in which they lie in w.
  __device__ Depth depth_at(int64_t k) const {
    const ChannelTap at(static_cast<int32_t>(k), s.group_c, s.taps, kernels.channels_last);
    return {k, at.tap / s.kw * s.dilation_h, at.tap % s.kw * s.dilation_w, at.channel};
  }
  __device__ Column column_at(int64_t j) const {
    const int32_t pixel = static_cast<int32_t>(j % (s.oh * s.ow));
    const int64_t image = j / (s.oh * s.ow) * from.image;
    return {image, pixel / s.ow * s.stride_h - s.pad_h, pixel % s.ow * s.stride_w - s.pad_w, true};
  }
  __device__ T load_a(int64_t row, const Depth& k) const { return w[row * kernels.output + k.a]; }
  __device__ T load_b(const Depth& k, const Column& j) const {
    const int32_t row = j.i + k.i, column = j.j + k.j;
    if (row < 0 || row >= s.h || column < 0 || column >= s.w) return 0;
    return x[j.at + k.k * from.channel + (static_cast<int64_t>(row) * s.w + column) * from.pixel];
  }
  __device__ T* place(int64_t row, int64_t column) const {
    const int64_t plane = static_cast<int64_t>(s.oh) * s.ow;
    return y + column / plane * to.image + row * to.channel + column % plane * to.pixel;
  }
};

// x[c, (n,h,w)] = sum over (o,kh,kw) of w[o, c, kh, kw] y[n, o, (h + pad - kh dilation) / stride, ...]
template <typename T>
struct ConvInput {
  const Sizes s;
  const Images from, to;
  const Kernels kernels;
  const bool outputs_last;
  int64_t rows, columns, depth;
  const T *w, *y;
  T* x;

  __device__ ConvInput(const Task& task, int64_t group)
      : s(task), from(task, 2), to(task, 0), kernels(task, 1), outputs_last(channels_last(task, kOutputsLast)) {
    rows = s.group_c;
    columns = static_cast<int64_t>(s.n) * s.h * s.w;
    depth = static_cast<int64_t>(s.group_o) * s.taps;
    w = base_of<const T>(task, 1) + group * s.group_o * kernels.output;
    y = base_of<const T>(task, 2) + group * s.group_o * from.channel;
    x = base_of<T>(task, 0) + group * s.group_c * to.channel;
  }
  __device__ bool a_depth_is_inner() const { return !kernels.channels_last; }
  __device__ bool b_depth_is_inner() const { return outputs_last; }
  __device__ Depth depth_at(int64_t k) const {
    const ChannelTap at(static_cast<int32_t>(k), s.group_o, s.taps, outputs_last);
    return {at.channel * kernels.output + at.tap * kernels.tap, at.tap / s.kw * s.dilation_h,
            at.tap % s.kw * s.dilation_w, at.channel};
  }
  __device__ Column column_at(int64_t j) const {
    const int32_t pixel = static_cast<int32_t>(j % (s.h * s.w));
    return {j / (s.h * s.w) * from.image, pixel / s.w + s.pad_h, pixel % s.w + s.pad_w, true};
  }
  __device__ T load_a(int64_t row, const Depth& k) const { return w[row * kernels.input + k.a]; }
  __device__ T load_b(const Depth& k, const Column& j) const {
    const int32_t above = j.i - k.i, before = j.j - k.j, row = above / s.stride_h, column = before / s.stride_w;
    if (above < 0 || before < 0 || row >= s.oh || column >= s.ow) return 0;
    if (row * s.stride_h != above || column * s.stride_w != before) return 0;
    return y[j.at + k.k * from.channel + (static_cast<int64_t>(row) * s.ow + column) * from.pixel];
  }
  __device__ T* place(int64_t row, int64_t column) const {
    const int64_t plane = static_cast<int64_t>(s.h) * s.w;
    return x + column / plane * to.image + row * to.channel + column % plane * to.pixel;
  }
};

// w[o, (c,kh,kw)] = sum over (n,oh,ow) of y[n, o, oh, ow] x[n, c, oh stride - pad + kh dilation, ...]
template <typename T>
struct ConvWeight {
  const Sizes s;
  const Images of_x, of_y;
  const Kernels kernels;
  const bool outputs_last;
  int64_t rows, columns, depth;
  const T *x, *y;
  T* w;

  __device__ ConvWeight(const Task& task, int64_t group)
      : s(task), of_x(task, 1), of_y(task, 2), kernels(task, 0), outputs_last(channels_last(task, kOutputsLast)) {
    rows = s.group_o;
    columns = static_cast<int64_t>(s.group_c) * s.taps;
    depth = static_cast<int64_t>(s.n) * s.oh * s.ow;
    x = base_of<const T>(task, 1) + group * s.group_c * of_x.channel;
    y = base_of<const T>(task, 2) + group * s.group_o * of_y.channel;
    w = base_of<T>(task, 0) + group * s.group_o * kernels.output;
  }
  __device__ bool a_depth_is_inner() const { return !outputs_last; }
  __device__ bool b_depth_is_inner() const { return !kernels.channels_last; }
  __device__ Depth depth_at(int64_t k) const {
    const int32_t plane = s.oh * s.ow, image = static_cast<int32_t>(k / plane), pixel = static_cast<int32_t>(k % plane);
    return {image * of_y.image + pixel * of_y.pixel, pixel / s.ow * s.stride_h - s.pad_h,
            pixel % s.ow * s.stride_w - s.pad_w, image};
  }
  // Channels and taps in the order in which they lie in w.
  __device__ Column column_at(int64_t j) const {
    const ChannelTap at(static_cast<int32_t>(j), s.group_c, s.taps, kernels.channels_last);
    return {at.channel * of_x.channel, at.tap / s.kw * s.dilation_h, at.tap % s.kw * s.dilation_w, true};
  }
  __device__ T load_a(int64_t row, const Depth& k) const { return y[row * of_y.channel + k.a]; }
  __device__ T load_b(const Depth& k, const Column& j) const {
    const int32_t row = k.i + j.i, column = k.j + j.j;
    if (row < 0 || row >= s.h || column < 0 || column >= s.w) return 0;
    return x[k.k * of_x.image + j.at + (static_cast<int64_t>(row) * s.w + column) * of_x.pixel];
  }
  __device__ T* place(int64_t row, int64_t column) const { return w + row * kernels.output + column; }
};

// ---- the product

constexpr int kSlice = 16;  // depth that is held in shared memory at a time

// One tile of M x N outputs; a thread computes RM x RN of them, M / RM and N / RN apart, so that neighbouring threads
// read neighbouring words. Block x: item of the batch, split, tile of rows, tile of columns (the innermost).
// One block per multiprocessor is the least: left to itself the compiler keeps to 64 registers for sm_90, and spills.
template <typename T, template <typename> class Problem, int M, int N, int RM, int RN>
__global__ void __launch_bounds__((M / RM) * (N / RN), 1) contract(PTMZ_TASK) {
  constexpr int kThreads = (M / RM) * (N / RN);
  __shared__ T a[kSlice][M + 1], b[kSlice][N + 1];
  __shared__ Depth depths[2][kSlice];
  __shared__ Column columns[N];
  const int thread = static_cast<int>(threadIdx.x);
  const unsigned across = static_cast<unsigned>((task.columns + N - 1) / N);
  const unsigned down = static_cast<unsigned>((task.rows + M - 1) / M);
  unsigned block = blockIdx.x;
  const int64_t first_column = static_cast<int64_t>(block % across) * N;
  block /= across;
  const int64_t first_row = static_cast<int64_t>(block % down) * M;
  block /= down;
  const int split = static_cast<int>(block % static_cast<unsigned>(task.splits));
  const int64_t item = block / static_cast<unsigned>(task.splits);
  const Problem<T> p(task, item);
  const int64_t begin = split * task.split_size, left = p.depth - begin;
  const int64_t end = begin + (left < task.split_size ? left : task.split_size);

  for (int j = thread; j < N; j += kThreads) {
    const bool inside = first_column + j < p.columns;
    columns[j] = p.column_at(inside ? first_column + j : 0);
    columns[j].inside = inside;
  }
  if (thread < kSlice && begin + thread < end) depths[0][thread] = p.depth_at(begin + thread);
  T sum[RM][RN] = {};
  const int row = thread / (N / RN), column = thread % (N / RN);
  const bool a_inner = p.a_depth_is_inner(), b_inner = p.b_depth_is_inner();
  int current = 0;
  __syncthreads();
  for (int64_t slice = begin; slice < end; slice += kSlice, current ^= 1) {
    const int depth = end - slice < kSlice ? static_cast<int>(end - slice) : kSlice;
    for (int e = thread; e < M * kSlice; e += kThreads) {
      const int k = a_inner ? e % kSlice : e / M, i = a_inner ? e / kSlice : e % M;
      a[k][i] = k < depth && first_row + i < p.rows ? p.load_a(first_row + i, depths[current][k]) : T(0);
    }
    for (int e = thread; e < N * kSlice; e += kThreads) {
      const int k = b_inner ? e % kSlice : e / N, j = b_inner ? e / kSlice : e % N;
      b[k][j] = k < depth && columns[j].inside ? p.load_b(depths[current][k], columns[j]) : T(0);
    }
    const int64_t next = slice + kSlice + thread;
    if (thread < kSlice && next < end) depths[current ^ 1][thread] = p.depth_at(next);
    __syncthreads();
    PTMZ_UNROLL
    for (int k = 0; k < kSlice; ++k) {
      T left_values[RM], right_values[RN];
      PTMZ_UNROLL
      for (int i = 0; i < RM; ++i) left_values[i] = a[k][row + i * (M / RM)];
      PTMZ_UNROLL
      for (int j = 0; j < RN; ++j) right_values[j] = b[k][column + j * (N / RN)];
      PTMZ_UNROLL
      for (int i = 0; i < RM; ++i) {
        PTMZ_UNROLL
        for (int j = 0; j < RN; ++j) sum[i][j] += left_values[i] * right_values[j];
      }
    }
    __syncthreads();
  }

  T* partials = partials_of<T>(task) + (item * task.splits + split) * p.rows * p.columns;
  PTMZ_UNROLL
  for (int i = 0; i < RM; ++i) {
    PTMZ_UNROLL
    for (int j = 0; j < RN; ++j) {
      const int64_t r = first_row + row + i * (M / RM), c = first_column + column + j * (N / RN);
      if (r >= p.rows || c >= p.columns) continue;
      *(task.splits > 1 ? partials + r * p.columns + c : p.place(r, c)) = sum[i][j];
    }
  }
  if constexpr (kApplies<T, Problem>) {
    for (int64_t r = first_row + row; r < p.rows && r < first_row + M; r += M / RM)
      p.template apply<RN>(task, r, first_column + column, N / RN);
  }
}

// Adds the partial products of all splits, in their order.
template <typename T, template <typename> class Problem>
__global__ void join_contraction(PTMZ_TASK) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t outputs = task.rows * task.columns, item = index / outputs, output = index % outputs;
  if (index >= task.kept) return;
  const T* partials = partials_of<const T>(task) + item * task.splits * outputs + output;
  const Problem<T> p(task, item);
  const int64_t row = output / p.columns, column = output % p.columns;
  *p.place(row, column) = static_cast<T>(sum_of_splits(partials, outputs, task.splits));
  if constexpr (kApplies<T, Problem>) p.template apply<1>(task, row, column, 0);
}

template <typename T, template <typename> class Problem>
Kernel contract_of(int tile) {
  switch (tile) {
    case 0:
      return contract<T, Problem, 64, 64, 4, 4>;
    case 1:
      return contract<T, Problem, 32, 32, 2, 2>;
    default:
      return contract<T, Problem, 8, 128, 2, 4>;
  }
}
template <typename T>
Kernel contract_of(LaunchCode code, int tile, bool applies) {
  switch (code) {
    case LaunchCode::conv2d:
      return contract_of<T, ConvForward>(tile);
    case LaunchCode::conv2d_input:
      return contract_of<T, ConvInput>(tile);
    case LaunchCode::conv2d_weight:
      return contract_of<T, ConvWeight>(tile);
    default:
      return applies ? contract_of<T, MatmulBehind>(tile) : contract_of<T, Matmul>(tile);
  }
}
template <typename T>
Kernel join_of(LaunchCode code, bool applies) {
  switch (code) {
    case LaunchCode::conv2d:
      return join_contraction<T, ConvForward>;
    case LaunchCode::conv2d_input:
      return join_contraction<T, ConvInput>;
    case LaunchCode::conv2d_weight:
      return join_contraction<T, ConvWeight>;
    default:
      return applies ? join_contraction<T, MatmulBehind> : join_contraction<T, Matmul>;
  }
}

}  // namespace

Kernel contraction_kernel(LaunchCode code, DType real, int tile, bool applies) {
  return real == DType::f32 ? contract_of<float>(code, tile, applies) : contract_of<double>(code, tile, applies);
}
Kernel join_contraction_kernel(LaunchCode code, DType real, bool applies) {
  return real == DType::f32 ? join_of<float>(code, applies) : join_of<double>(code, applies);
}
int64_t contraction_shared_bytes(const Tile& tile, int64_t element_bytes) {
  return kSlice * (tile.rows + 1 + tile.columns + 1) * element_bytes +
         2 * kSlice * static_cast<int64_t>(sizeof(Depth)) + tile.columns * static_cast<int64_t>(sizeof(Column));
}

}  // namespace ptmz::cuda
