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

template <int Half, typename V, typename F, int... E>
PTMZ_INLINE V fold_halves(const V& v, const F& join, Indices<E...> all) {
  const V folded = join(v, __builtin_shufflevector(v, v, (E ^ Half)...));
  if constexpr (Half > 1) return fold_halves<Half / 2>(folded, join, all);
  return folded;
}
// All lanes of a vector joined into one number, halves first.
template <typename V, typename F>
PTMZ_INLINE auto across(const V& v, const F& join) {
  constexpr int count = sizeof(V) / sizeof(v[0]);
  return fold_halves<count / 2>(v, join, typename IndicesTo<count>::type{})[0];
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
    typedef double Wide __attribute__((vector_size(kVectorBytes)));
    const auto plus = [](const Wide& a, const Wide& b) { return a + b; };
    if constexpr (sizeof(T) == sizeof(double)) {
      return across(v, plus);
    } else {
      typedef T Half __attribute__((vector_size(kVectorBytes / 2)));
      Half halves[2];
      __builtin_memcpy(halves, &v, sizeof v);
      return across(__builtin_convertvector(halves[0], Wide) + __builtin_convertvector(halves[1], Wide), plus);
    }
  }
};

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
