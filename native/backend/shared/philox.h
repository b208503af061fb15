// Philox4x32-10, the counter-based generator (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"):
// a number depends only on its key and counter, so it is the same on every device, thread count and after a resume.
#pragma once
#include <cmath>
#include <cstdint>

#include "host_device.h"

namespace ptmz {

// What random numbers are drawn for; part of the key, so that no two uses ever share a stream.
enum class Purpose : uint32_t { graph = 0, init = 1, order = 2, augment = 3, probe = 4 };

struct RandomKey {
  uint32_t seed_low, seed_high, purpose, stream, epoch, step;
};
struct Random4 {
  uint32_t v[4];
};

// Counter = (index of the block of four, epoch, step), key = seed xor-folded with purpose and stream.
PTMZ_SHARED Random4 philox(const RandomKey& key, uint64_t block) {
  uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32), c2 = key.epoch, c3 = key.step;
  uint32_t k0 = key.seed_low ^ (key.stream * 0x9E3779B1u);
  uint32_t k1 = key.seed_high ^ (key.purpose * 0x85EBCA77u + key.stream);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0, p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// 32 random bits -> [0, 1) on a grid of 2^-24, exact in float32 and float64 alike.
PTMZ_SHARED double unit(uint32_t bits) { return (bits >> 8) * (1.0 / 16777216.0); }

PTMZ_SHARED double random_uniform(const RandomKey& key, uint64_t index) {
  return unit(philox(key, index >> 2).v[index & 3]);
}
PTMZ_SHARED double random_rademacher(const RandomKey& key, uint64_t index) {
  return philox(key, index >> 2).v[index & 3] >> 31 ? 1.0 : -1.0;
}
// Box-Muller on the pair of words that holds the index; always finite (the first uniform is in (0, 1]).
PTMZ_SHARED double random_normal(const RandomKey& key, uint64_t index) {
  const Random4 r = philox(key, index >> 2);
  const int pair = static_cast<int>(index & 2);
  const double radius = std::sqrt(-2.0 * std::log(1.0 - unit(r.v[pair])));
  const double angle = 6.283185307179586 * unit(r.v[pair + 1]);
  return index & 1 ? radius * std::sin(angle) : radius * std::cos(angle);
}

}  // namespace ptmz
