// Comparison: what `compare` computes; the value of its attribute ints[0].
#pragma once
#include <cstdint>

#include "host_device.h"

namespace ptmz {

enum class Comparison : int64_t { lt, le, gt, ge, eq, ne };

template <typename T>
PTMZ_SHARED bool holds(Comparison comparison, T a, T b) {
  switch (comparison) {
    case Comparison::lt:
      return a < b;
    case Comparison::le:
      return a <= b;
    case Comparison::gt:
      return a > b;
    case Comparison::ge:
      return a >= b;
    case Comparison::eq:
      return a == b;
    default:
      return a != b;
  }
}

}  // namespace ptmz
