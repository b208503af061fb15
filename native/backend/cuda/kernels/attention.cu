// Attention and its gradient in tiles of queries and keys (Dao et al. 2022): scores are formed in shared memory, tile
// by tile, with the softmax's maximum and sum carried along, and no matrix of all queries and keys is ever in memory.
//
// Every result is written by one thread of one block: sums have one order, and nothing is added atomically.
#include "backend/cuda/kernels/evaluate.h"
#include "backend/cuda/kernels/index.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {
namespace {

// The task's space (B,H,T,D); `lanes`: rows of a tile. ints: causal, distance from q to k and from k to v, the same of
// the gradient. Block x: a head and a tile of it.
template <typename T>
struct Head {
  const Task& task;
  int64_t time, size, item, begin;  // begin: first row of the block's tile
  int tile, row;  // row: elements of a tile's row in shared memory, odd so that columns are no conflict
  bool causal;
  T scale;

  __device__ explicit Head(const Task& task) : task(task) {
    time = task.shape[2];
    size = task.shape[3];
    tile = task.lanes;
    row = static_cast<int>(size | 1);
    const int64_t tiles = (time + tile - 1) / tile;
    item = blockIdx.x / tiles;
    begin = blockIdx.x % tiles * tile;
    causal = task.ints[0] != 0;
    scale = static_cast<T>(task.reals[0]);
  }
  __device__ int64_t offset(int operand, int64_t part) const {
    const int64_t* strides = task.operands[operand].strides;
    return item / task.shape[1] * strides[0] + item % task.shape[1] * strides[1] + part;
  }
  __device__ bool sees(int64_t query, int64_t key) const { return key < time && (!causal || key <= query); }

  // Rows [first, first + tile) of an operand into shared memory; behind the last one are zeros.
  __device__ void load(T* to, int operand, int64_t part, int64_t first) const {
    const T* from = base_of<const T>(task, operand) + offset(operand, part);
    const int64_t stride = task.operands[operand].strides[2];
    for (int i = threadIdx.x; i < tile * size; i += blockDim.x) {
      const int64_t r = i / size, d = i % size;
      to[r * row + d] = first + r < time ? from[(first + r) * stride + d] : T(0);
    }
  }
  // The way back to the output, each row times `factor(row)`.
  template <typename F>
  __device__ void store(const T* from, int64_t part, int64_t first, F factor) const {
    T* to = base_of<T>(task, 0) + offset(0, part);
    const int64_t stride = task.operands[0].strides[2];
    for (int i = threadIdx.x; i < tile * size; i += blockDim.x) {
      const int64_t r = i / size, d = i % size;
      if (first + r < time) to[(first + r) * stride + d] = from[r * row + d] * factor(static_cast<int>(r));
    }
  }
  __device__ void zero(T* tiles, int count) const {
    for (int i = threadIdx.x; i < count * tile * row; i += blockDim.x) tiles[i] = 0;
  }
  // out[i][j] = <a[i], b[j]> for rows of two tiles.
  __device__ void products(T* out, const T* a, const T* b, T factor) const {
    for (int e = threadIdx.x; e < tile * tile; e += blockDim.x) {
      const T *x = a + e / tile * row, *y = b + e % tile * row;
      T sum = 0;
      for (int d = 0; d < size; ++d) sum += x[d] * y[d];
      out[e] = sum * factor;
    }
  }
  // out[i][d] = keep(i) out[i][d] + sum over j of w[i][j] x[j][d]; w is read by columns where `across`.
  template <typename F>
  __device__ void accumulate(T* out, const T* w, const T* x, bool across, F keep) const {
    for (int e = threadIdx.x; e < tile * size; e += blockDim.x) {
      const int i = e / static_cast<int>(size), d = e % static_cast<int>(size);
      T sum = 0;
      for (int j = 0; j < tile; ++j) sum += w[across ? j * tile + i : i * tile + j] * x[j * row + d];
      T& to = out[i * row + d];
      to = to * keep(i) + sum;
    }
  }
  __device__ int64_t end_of_keys() const { return causal && begin + tile < time ? begin + tile : time; }
};

struct Keep {
  template <typename I>
  __device__ float operator()(I) const {
    return 1;
  }
};

// The running softmax of the rows of a tile: largest score so far, and sums of exp(score - top).
template <typename T>
struct Running {
  T *top, *sum, *factor;  // one of each per row; factor: what sums of the tiles before are scaled by

  __device__ Running(T* memory, int tile) : top(memory), sum(memory + tile), factor(memory + 2 * tile) {}
  __device__ void start(int tile) const {
    for (int i = threadIdx.x; i < tile; i += blockDim.x) {
      top[i] = -static_cast<T>(HUGE_VAL);
      sum[i] = 0;
    }
  }
  // Takes in the keys from `key` on: scores become exp(score - top), 0 where a key is not seen. Ends synchronised.
  __device__ void take(const Head<T>& h, T* scores, int64_t key) const {
    for (int i = threadIdx.x; i < h.tile; i += blockDim.x) {
      T best = top[i];
      for (int j = 0; j < h.tile; ++j) {
        const T s = scores[i * h.tile + j];
        if (h.sees(h.begin + i, key + j) && s > best) best = s;
      }
      const bool first = top[i] == -static_cast<T>(HUGE_VAL);
      factor[i] = first ? T(0) : f_exp(top[i] - best);
      top[i] = best;
    }
    __syncthreads();
    for (int e = threadIdx.x; e < h.tile * h.tile; e += blockDim.x) {
      const int i = e / h.tile, j = e % h.tile;
      scores[e] = h.sees(h.begin + i, key + j) ? f_exp(scores[e] - shift(i)) : T(0);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < h.tile; i += blockDim.x) {
      T added = 0;
      for (int j = 0; j < h.tile; ++j) added += scores[i * h.tile + j];
      sum[i] = sum[i] * factor[i] + added;
    }
    __syncthreads();
  }
  // Nothing is subtracted while all scores are -infinity, whose difference is not a number.
  __device__ T shift(int i) const { return top[i] == -static_cast<T>(HUGE_VAL) ? T(0) : top[i]; }
};

// Operands: y (B,H,T,D), qkv as (B,H,T,D) at q.
template <typename T>
__global__ void attention(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(T, shared);
  const Head<T> h(task);
  const int step = h.tile * h.row;
  T *q = shared, *kv = q + step, *out = kv + step, *scores = out + step;
  const Running<T> running(scores + h.tile * h.tile, h.tile);
  h.load(q, 1, 0, h.begin);
  h.zero(out, 1);
  running.start(h.tile);
  for (int64_t key = 0; key < h.end_of_keys(); key += h.tile) {
    h.load(kv, 1, task.ints[1], key);
    __syncthreads();
    h.products(scores, q, kv, h.scale);
    __syncthreads();
    running.take(h, scores, key);
    h.load(kv, 1, 2 * task.ints[1], key);
    __syncthreads();
    h.accumulate(out, scores, kv, false, [&](int i) { return running.factor[i]; });
    __syncthreads();
  }
  h.store(out, 0, h.begin, [&](int i) { return 1 / running.sum[i]; });
}

// What the gradient needs of a row's softmax: p = exp(score - shift) inverse, and <p, dp>.
template <typename T>
struct RowSoftmax {
  T shift, inverse, inner;
};
template <typename T>
__device__ RowSoftmax<T>* softmaxes_of(const Head<T>& h) {
  char* const of_member = h.task.partials + blockIdx.y * h.task.partials_member_bytes;
  return reinterpret_cast<RowSoftmax<T>*>(of_member) + h.item * h.time;
}

// From scores and the gradient of the probabilities to probabilities and the gradient of the scores, in place.
template <typename T>
__device__ void slopes(const Head<T>& h, const RowSoftmax<T>* rows, T* scores, T* dp, int64_t query, int64_t key) {
  for (int e = threadIdx.x; e < h.tile * h.tile; e += blockDim.x) {
    const int i = e / h.tile, j = e % h.tile;
    const bool counts = query + i < h.time && h.sees(query + i, key + j);
    const RowSoftmax<T> row = counts ? rows[query + i] : RowSoftmax<T>{};
    const T p = counts ? f_exp(scores[e] - row.shift) * row.inverse : T(0);
    scores[e] = p;
    dp[e] = counts ? p * (dp[e] - row.inner) * h.scale : T(0);
  }
}

// Operands: dqkv and qkv as (B,H,T,D) at q, u (B,H,T,D). Writes dq and leaves every row's softmax.
template <typename T>
__global__ void attention_queries(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(T, shared);
  const Head<T> h(task);
  const int step = h.tile * h.row, square = h.tile * h.tile;
  T *q = shared, *u = q + step, *kv = u + step, *dq = kv + step, *scores = dq + step, *dp = scores + square;
  const Running<T> running(dp + square, h.tile);
  T* inner = running.factor + h.tile;
  const auto scores_and_slopes = [&](int64_t key) {
    h.load(kv, 1, 2 * task.ints[1], key);
    __syncthreads();
    h.products(dp, u, kv, 1);
    __syncthreads();
    h.load(kv, 1, task.ints[1], key);
    __syncthreads();
    h.products(scores, q, kv, h.scale);
    __syncthreads();
  };
  h.load(q, 1, 0, h.begin);
  h.load(u, 2, 0, h.begin);
  h.zero(dq, 1);
  running.start(h.tile);
  for (int i = threadIdx.x; i < h.tile; i += blockDim.x) inner[i] = 0;
  for (int64_t key = 0; key < h.end_of_keys(); key += h.tile) {
    scores_and_slopes(key);
    running.take(h, scores, key);
    for (int i = threadIdx.x; i < h.tile; i += blockDim.x) {
      T added = 0;
      for (int j = 0; j < h.tile; ++j) added += scores[i * h.tile + j] * dp[i * h.tile + j];
      inner[i] = inner[i] * running.factor[i] + added;
    }
    __syncthreads();
  }
  RowSoftmax<T>* rows = softmaxes_of(h);
  for (int i = threadIdx.x; i < h.tile; i += blockDim.x)
    if (h.begin + i < h.time) {
      const T inverse = 1 / running.sum[i];
      rows[h.begin + i] = {running.shift(i), inverse, inner[i] * inverse};
    }
  __syncthreads();
  for (int64_t key = 0; key < h.end_of_keys(); key += h.tile) {
    scores_and_slopes(key);
    slopes(h, rows, scores, dp, h.begin, key);
    __syncthreads();
    h.accumulate(dq, dp, kv, false, Keep());
    __syncthreads();
  }
  h.store(dq, 0, h.begin, Keep());
}

// The same operands; writes dk and dv, a tile of keys per block.
template <typename T>
__global__ void attention_keys(PTMZ_TASK) {
  PTMZ_DYNAMIC_SHARED(T, shared);
  const Head<T> h(task);
  const int step = h.tile * h.row;
  T *k = shared, *v = k + step, *q = v + step, *u = q + step, *dk = u + step, *dv = dk + step;
  T *scores = dv + step, *dp = scores + h.tile * h.tile;
  const RowSoftmax<T>* rows = softmaxes_of(h);
  h.load(k, 1, task.ints[1], h.begin);
  h.load(v, 1, 2 * task.ints[1], h.begin);
  h.zero(dk, 2);
  for (int64_t query = h.causal ? h.begin : 0; query < h.time; query += h.tile) {
    h.load(q, 1, 0, query);
    h.load(u, 2, 0, query);
    __syncthreads();
    h.products(scores, q, k, h.scale);
    h.products(dp, u, v, 1);
    __syncthreads();
    slopes(h, rows, scores, dp, query, h.begin);
    __syncthreads();
    h.accumulate(dv, scores, u, true, Keep());
    h.accumulate(dk, dp, q, true, Keep());
    __syncthreads();
  }
  h.store(dk, task.ints[2], h.begin, Keep());
  h.store(dv, 2 * task.ints[2], h.begin, Keep());
}

template <typename T>
Kernel kernel_of(AttentionPass pass) {
  if (pass == AttentionPass::forward) return attention<T>;
  return pass == AttentionPass::queries ? attention_queries<T> : attention_keys<T>;
}

}  // namespace

Kernel attention_kernel(AttentionPass pass, DType real) {
  return real == DType::f32 ? kernel_of<float>(pass) : kernel_of<double>(pass);
}

int64_t attention_elements(AttentionPass pass, int64_t tile, int64_t size) {
  const int64_t tiles = pass == AttentionPass::forward ? 3 : pass == AttentionPass::queries ? 4 : 6;
  const int64_t squares = pass == AttentionPass::forward ? 1 : 2;
  return tiles * tile * (size | 1) + squares * tile * tile + 4 * tile;
}

}  // namespace ptmz::cuda
