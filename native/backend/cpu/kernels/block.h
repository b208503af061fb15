// Block: loops over one block of contiguous elements, and sums whose order depends on the length alone.
#pragma once
#include <cstdint>
#include <cstring>

#include "backend/cpu/block_sizes.h"
#include "backend/cpu/kernel.h"

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

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <typename T>
void fill_block(T* out, T value, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = value;
}

// 64 bytes in lanes; the same number of lanes at every SIMD level, so that all of them add in the same order.
template <typename T>
struct Lanes;
template <>
struct Lanes<float> {
  static constexpr int count = 16;
  typedef float Vector __attribute__((vector_size(64)));
};
template <>
struct Lanes<double> {
  static constexpr int count = 8;
  typedef double Vector __attribute__((vector_size(64)));
};

// Adds up n elements: two vectors of lanes, then the lanes in double.
template <typename T>
double sum_block(const T* x, int64_t n) {
  using Vector = typename Lanes<T>::Vector;
  constexpr int lanes = Lanes<T>::count;
  double total = 0;
  int64_t i = 0;
  if (n >= lanes) {
    Vector even = {}, odd = {}, v;
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
      memcpy(&v, x + i, sizeof v);
      even += v;
      memcpy(&v, x + i + lanes, sizeof v);
      odd += v;
    }
    if (i + lanes <= n) {
      memcpy(&v, x + i, sizeof v);
      even += v;
      i += lanes;
    }
    double part[lanes];
    for (int l = 0; l < lanes; ++l) part[l] = static_cast<double>(even[l]) + static_cast<double>(odd[l]);
    for (int half = lanes / 2; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) part[l] += part[l + half];
    total = part[0];
  }
  for (; i < n; ++i) total += static_cast<double>(x[i]);
  return total;
}

// The maximum of `start` and n elements; a NaN wins and stays.
template <typename T>
T max_block(const T* x, int64_t n, T start) {
  using Vector = typename Lanes<T>::Vector;
  constexpr int lanes = Lanes<T>::count;
  int64_t i = 0;
  if (n >= lanes) {
    Vector best, v;
    for (int l = 0; l < lanes; ++l) best[l] = start;
    for (; i + lanes <= n; i += lanes) {
      memcpy(&v, x + i, sizeof v);
      best = ((v > best) | (v != v)) ? v : best;
    }
    for (int l = 0; l < lanes; ++l)
      if (best[l] > start || best[l] != best[l]) start = best[l];
  }
  for (; i < n; ++i)
    if (x[i] > start || x[i] != x[i]) start = x[i];
  return start;
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
