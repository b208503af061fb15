// Block: loops over one block of contiguous elements, and sums whose order depends on the length alone.
#pragma once
#include <cstdint>
#include <cstring>

#include "backend/cpu/block_sizes.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/kernels/width.h"

// Promises that iterations do not depend on each other: blocks overlap either exactly or not at all.
#if defined(__clang__)
#define PTMZ_VECTORISE _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define PTMZ_VECTORISE _Pragma("GCC ivdep")
#else
#define PTMZ_VECTORISE
#endif

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

template <typename T>
void fill_block(T* out, T value, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = value;
}

template <typename T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kVectorBytes)));
};

// 128 bytes of partial results, in vectors of the processor's width. Their number is the same at every SIMD level, so
// that all levels add in the same order.
template <typename T>
struct Partials {
  using Vector = typename VectorOf<T>::type;
  static constexpr int lanes = 128 / sizeof(T), vectors = 128 / kVectorBytes;
  Vector at[vectors];

  explicit Partials(T value) {
    T all[lanes];
    for (int l = 0; l < lanes; ++l) all[l] = value;
    memcpy(at, all, sizeof at);
  }
  // Combines as many whole groups of lanes as n elements have; returns how many elements that were.
  template <typename F>
  int64_t fold(const T* x, int64_t n, F combine) {
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes)
      for (int k = 0; k < vectors; ++k) {
        Vector v;
        memcpy(&v, x + i + k * (lanes / vectors), sizeof v);
        combine(at[k], v);
      }
    return i;
  }
};

// Adds up n elements: partial sums in T, and those in double.
template <typename T>
double sum_block(const T* x, int64_t n) {
  using Vector = typename VectorOf<T>::type;
  constexpr int lanes = Partials<T>::lanes;
  double total = 0;
  int64_t i = 0;
  if (n >= lanes) {
    Partials<T> partials(0);
    i = partials.fold(x, n, [](Vector& sum, const Vector& v) { sum += v; });
    T part[lanes];
    double sum[lanes / 2];
    memcpy(part, partials.at, sizeof part);
    for (int l = 0; l < lanes / 2; ++l)
      sum[l] = static_cast<double>(part[l]) + static_cast<double>(part[l + lanes / 2]);
    for (int half = lanes / 4; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) sum[l] += sum[l + half];
    total = sum[0];
  }
  for (; i < n; ++i) total += static_cast<double>(x[i]);
  return total;
}

// The larger one; a NaN wins and stays.
template <typename T>
T nan_or_larger(T best, T x) {
  return (x > best) | (x != x) ? x : best;
}

// The inner product of n pairs; the product of two floats is exact in double.
template <typename T>
double dot_block(const T* a, const T* b, int64_t n) {
  constexpr int lanes = 16;
  double part[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int l = 0; l < lanes; ++l) part[l] += static_cast<double>(a[i + l]) * static_cast<double>(b[i + l]);
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) part[l] += part[l + half];
  for (; i < n; ++i) part[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return part[0];
}

// The maximum of `start` and n elements.
template <typename T>
T max_block(const T* x, int64_t n, T start) {
  using Vector = typename VectorOf<T>::type;
  constexpr int lanes = Partials<T>::lanes;
  int64_t i = 0;
  if (n >= lanes) {
    Partials<T> partials(start);
    i = partials.fold(x, n, [](Vector& best, const Vector& v) { best = ((v > best) | (v != v)) ? v : best; });
    T part[lanes];
    memcpy(part, partials.at, sizeof part);
    for (int l = 0; l < lanes; ++l) start = nan_or_larger(start, part[l]);
  }
  bool nan = false;  // apart, so that the loop has no branches
  for (; i < n; ++i) {
    start = x[i] > start ? x[i] : start;
    nan |= x[i] != x[i];
  }
  return nan ? static_cast<T>(__builtin_nan("")) : start;
}

// A running total of block sums. Blocks of floats are exact enough in double; blocks of doubles carry the rounding
// error along (Neumaier 1974), which is dropped when the total is not finite.
template <typename T>
struct Total {
  double sum = 0, carry = 0;
  void add(double x) {
    const double next = sum + x;
    if constexpr (sizeof(T) == 8) {
      const double x_part = next - sum;
      carry += (sum - (next - x_part)) + (x - x_part);
    }
    sum = next;
  }
  T value() const {
    const bool finite = sum - sum == 0;
    return static_cast<T>(finite ? sum + carry : sum);
  }
};

// The first fault of a launch is the one that is reported.
inline void report_fault(KernelFault& fault, int64_t value, int64_t limit) {
  if (fault.limit != 0) return;
  fault.value = value;
  fault.limit = limit;
}

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
