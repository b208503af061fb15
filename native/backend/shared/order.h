// The order in which a member sees its samples: Fisher-Yates driven by Philox, so a function of (seed, epoch) alone.
#pragma once
#include "backend/shared/philox.h"

namespace ptmz {

PTMZ_SHARED RandomKey order_key(uint64_t seed, uint32_t epoch) {
  return {static_cast<uint32_t>(seed),
          static_cast<uint32_t>(seed >> 32),
          static_cast<uint32_t>(Purpose::order),
          0,
          epoch,
          0};
}

// The place in [0, i] with which place i is swapped; i goes from the last one down to 1.
PTMZ_SHARED int64_t order_target(const RandomKey& key, int64_t i) {
  const Random4 r = philox(key, static_cast<uint64_t>(i));
  // floor(bits * n / 2^64), in 32-bit halves; n < 2^32, so the bias is below 2^-32.
  const uint64_t bits = (static_cast<uint64_t>(r.v[0]) << 32) | r.v[1];
  const uint64_t n = static_cast<uint64_t>(i) + 1;
  const uint64_t high = (bits >> 32) * n + (((bits & 0xFFFFFFFFu) * n) >> 32);
  return static_cast<int64_t>(high >> 32);
}

}  // namespace ptmz
