// Reductions: reduce_sum and reduce_max with an elementwise prologue, and argmax.
#include <math.h>

#include "backend/cpu/kernels/evaluate.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

struct Outputs {
  int64_t begin, end, kept, reduced;
};

Outputs output_range(const Call& call, bool column) {
  const Launch& launch = call.launch;
  const int64_t kept = product(launch.shape, 0, launch.kept_rank);
  const int64_t reduced = product(launch.shape, launch.kept_rank, launch.rank);
  const int64_t block = reduce_block(reduced, column);
  return {smaller(call.begin * block, kept), smaller(call.end * block, kept), kept, reduced};
}

template <typename T>
struct Sum {
  Total<T> total;
  void add(const T* x, int64_t n) { total.add(sum_block(x, n)); }
  T value() const { return total.value(); }
};

template <typename T>
struct Max {
  T best = -static_cast<T>(HUGE_VAL);
  void add(const T* x, int64_t n) { best = max_block(x, n, best); }
  T value() const { return best; }
};

// The reduced axes are the inner ones: each output's elements follow each other. Short rows share a block.
template <typename T, template <typename> class Fold>
void reduce_rows(const Call& call) {
  const Outputs range = output_range(call, false);
  const int64_t reduced = range.reduced;
  T* out = static_cast<T*>(call.pointers[0]);
  Evaluator<T> evaluator(call, 0, (range.end - range.begin) * reduced);
  evaluator.seek(range.begin * reduced);
  if (reduced > kBlock / 2) {
    for (int64_t o = range.begin; o < range.end; ++o) {
      Fold<T> fold;
      for (int64_t r = 0; r < reduced; r += kBlock) {
        const int64_t n = smaller(kBlock, reduced - r);
        fold.add(evaluator.next(n), n);
      }
      out[o] = fold.value();
    }
    return;
  }
  const int64_t group = kBlock / reduced;
  for (int64_t o = range.begin; o < range.end; o += group) {
    const int64_t rows = smaller(group, range.end - o);
    const T* block = evaluator.next(rows * reduced);
    for (int64_t i = 0; i < rows; ++i) {
      Fold<T> fold;
      fold.add(block + i * reduced, reduced);
      out[o + i] = fold.value();
    }
  }
}

// A sum of products over a whole tensor. Large terms cancel in <g, v>, so that a rounding of each product would show.
template <typename T>
void inner_product(const Call& call) {
  const int64_t count = product(call.launch.shape, 0, call.launch.rank);
  Evaluator<T> evaluator(call, 0, count);
  evaluator.seek(0);
  Total<double> total;
  for (int64_t i = 0; i < count; i += kBlock) {
    const int64_t n = smaller(kBlock, count - i);
    const auto factors = evaluator.next_factors(n);
    total.add(dot_block(factors.a, factors.b, n));
  }
  *static_cast<T*>(call.pointers[0]) = static_cast<T>(total.value());
}

// One sum per lane: 16 elements in T, then in double (with Neumaier's carry for T = double).
template <typename T>
struct SumLanes {
  int64_t width;
  int pending = 0;
  T part[kBlock];
  double sum[kBlock], carry[kBlock];

  explicit SumLanes(int64_t lanes) : width(lanes) {
    fill_block(part, T(0), width);
    fill_block(sum, 0.0, width);
    fill_block(carry, 0.0, width);
  }
  void add(const T* x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) part[i] += x[i];
    if (++pending == 16) flush();
  }
  void flush() {
    for (int64_t i = 0; i < width; ++i) {
      Total<T> total{sum[i], carry[i]};
      total.add(static_cast<double>(part[i]));
      sum[i] = total.sum;
      carry[i] = total.carry;
    }
    fill_block(part, T(0), width);
    pending = 0;
  }
  // The result of the output whose lanes are first, first + step, ...
  T value(int64_t first, int64_t step) const {
    Total<T> all{sum[first], carry[first]};
    for (int64_t i = first + step; i < width; i += step) {
      all.add(sum[i]);
      all.carry += carry[i];
    }
    return all.value();
  }
};

template <typename T>
struct MaxLanes {
  int64_t width;
  T best[kBlock];

  explicit MaxLanes(int64_t lanes) : width(lanes) { fill_block(best, -static_cast<T>(HUGE_VAL), width); }
  void add(const T* x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) best[i] = nan_or_larger(best[i], x[i]);
  }
  void flush() {}
  T value(int64_t first, int64_t step) const {
    T result = best[first];
    for (int64_t i = first + step; i < width; i += step) result = nan_or_larger(result, best[i]);
    return result;
  }
};

// Outputs [first, first + n): the kept axes are the inner ones, so n outputs lie next to each other in the lanes of a
// block. Few outputs fill a block with several rows, which are folded at the end.
template <typename T, template <typename> class Fold>
void reduce_lanes(Evaluator<T>& evaluator, T* out, int64_t first, int64_t n, int64_t kept, int64_t reduced) {
  const int64_t rows = n == kept ? smaller(kBlock / n, reduced) : 1;
  Fold<T> fold(rows * n);
  evaluator.seek(first);
  for (int64_t r = 0; r < reduced; r += rows) {
    const int64_t elements = smaller(rows, reduced - r) * n;
    fold.add(evaluator.next(elements), elements);
    if (n < kept) evaluator.skip(kept - n);
  }
  fold.flush();
  for (int64_t i = 0; i < n; ++i) out[first + i] = fold.value(i, n);
}

// Neighbouring blocks are read together, row by row, as far as the lanes of an output stay the same: a row of its own
// for each, or all rows that fit a register where there are no other outputs.
template <typename T, template <typename> class Fold>
void reduce_columns(const Call& call) {
  const Outputs all = output_range(call, true);
  const int64_t block = reduce_block(all.reduced, true);
  const bool together = block < all.kept && all.kept > kBlock / 2;
  Evaluator<T> evaluator(call, call.launch.kept_rank, kBlock);
  for (int64_t begin = all.begin, end; begin < all.end; begin = end) {
    end = together ? all.end : smaller(begin + block, all.end);
    for (int64_t o = begin; o < end; o += kBlock)
      reduce_lanes<T, Fold>(evaluator, static_cast<T*>(call.pointers[0]), o, smaller(kBlock, end - o), all.kept,
                            all.reduced);
  }
}

template <typename T>
void reduce_sum(const Call& call) {
  if (product(call.launch.shape, 0, call.launch.kept_rank) == 1 && Evaluator<T>::is_product(call))
    return inner_product<T>(call);
  call.launch.column ? reduce_columns<T, SumLanes>(call) : reduce_rows<T, Sum>(call);
}

template <typename T>
void reduce_max(const Call& call) {
  call.launch.column ? reduce_columns<T, MaxLanes>(call) : reduce_rows<T, Max>(call);
}

// First maximum of a row; a NaN wins over every number.
template <typename T>
void argmax(const Call& call) {
  const Outputs range = output_range(call, false);
  const T* base = static_cast<const T*>(call.pointers[1]);
  int32_t* out = static_cast<int32_t*>(call.pointers[0]);
  View x = make_view(call.launch, call.launch.operands[1]);
  x.seek(range.begin * range.reduced);
  T buffer[kRegister];
  for (int64_t o = range.begin; o < range.end; ++o) {
    T best = 0;
    int64_t position = 0;
    for (int64_t r = 0; r < range.reduced; r += kBlock) {
      const int64_t n = smaller(kBlock, range.reduced - r);
      const T* row = direct_block(x, base, n);
      if (!row) {
        load_block(x, base, buffer, n, kRegister);
        row = buffer;
      }
      const T top = max_block(row, n, -static_cast<T>(HUGE_VAL));
      if (r > 0 && !(top > best || (top != top && best == best))) continue;
      best = top;
      position = r;
      while (!(row[position - r] == top || (top != top && row[position - r] != row[position - r]))) ++position;
    }
    out[o] = static_cast<int32_t>(position);
  }
}

template <typename T>
void enter_all(KernelTable& table) {
  enter<T>(table, LaunchCode::reduce_sum, reduce_sum<T>);
  enter<T>(table, LaunchCode::reduce_max, reduce_max<T>);
  enter<T>(table, LaunchCode::argmax, argmax<T>);
}

}  // namespace

void add_reductions(KernelTable& table) {
  enter_all<float>(table);
  enter_all<double>(table);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
