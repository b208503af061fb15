// Vectors: whole registers of neighbours in memory, and sums over many of them.
#pragma once
#include "backend/cpu/kernels/lanes.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

template <typename T>
using Vector = typename Lanes<T, kVectorBytes>::Vector;
template <typename T>
constexpr int kLanes = Lanes<T, kVectorBytes>::count;

template <typename T>
PTMZ_INLINE Vector<T> load(const T* x) {
  return *reinterpret_cast<const typename Lanes<T, kVectorBytes>::Unaligned*>(x);
}
template <typename T>
PTMZ_INLINE void store(T* out, const Vector<T>& value) {
  *reinterpret_cast<typename Lanes<T, kVectorBytes>::Unaligned*>(out) = value;
}

// Two sums over many elements: short ones of vectors in T, and these in double.
template <typename T>
struct TwoSums {
  static constexpr int kWays = 4, kFlush = 16;  // independent vectors; additions to each before they are flushed
  double first = 0, second = 0;

  // f(vector index or scalar index) gives both terms. `terms(x)` is called with a position.
  template <typename F, typename G>
  PTMZ_INLINE void add(int64_t n, const F& vector_terms, const G& scalar_terms) {
    constexpr int E = kLanes<T>;
    int64_t i = 0;
    while (i + E <= n) {
      Vector<T> a[kWays] = {}, b[kWays] = {};
      const int64_t end = smaller(n, i + kFlush * kWays * E);
      for (; i + kWays * E <= end; i += kWays * E) {
#pragma GCC unroll 4
        for (int w = 0; w < kWays; ++w) vector_terms(i + w * E, a[w], b[w]);
      }
      for (; i + E <= end; i += E) vector_terms(i, a[0], b[0]);
      first += total((a[0] + a[1]) + (a[2] + a[3]));
      second += total((b[0] + b[1]) + (b[2] + b[3]));
    }
    for (; i < n; ++i) {
      T a = 0, b = 0;
      scalar_terms(i, a, b);
      first += static_cast<double>(a);
      second += static_cast<double>(b);
    }
  }

  static double total(const Vector<T>& v) {
    double sum = 0;
    for (int i = 0; i < kLanes<T>; ++i) sum += static_cast<double>(v[i]);
    return sum;
  }
};

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
