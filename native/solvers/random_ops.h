// Colour jitter, RandAugment and erasing of samples on the CPU, and what they can be done to.
#pragma once
#include <cstdint>
#include <vector>

#include "backend/shared/random_ops.h"

namespace ptmz {

// Throws INVALID_ARGUMENT where these cannot be done to images of so many channels, or not to bytes. `fill`: what
// erasing leaves where that is no noise, one value per channel.
void check_random_ops(const RandomOps& ops, const std::vector<double>& fill, int64_t channels, bool bytes);

// The operations of one member in one epoch, sample by sample.
class SampleOps {
 public:
  // Both arguments must outlive it.
  SampleOps(const RandomOps& ops, const std::vector<double>& fill, uint64_t seed, uint32_t epoch);
  bool colours() const { return ops_.colours(); }
  // Before normalisation.
  void recolour(const ByteImage& image, int64_t sample);
  // x (C,H,W), normalised.
  template <typename T>
  void erase(T* x, int64_t channels, int64_t height, int64_t width, int64_t sample) const;

 private:
  const RandomOps& ops_;
  const std::vector<double>& fill_;
  uint64_t seed_;
  uint32_t epoch_;
  std::vector<int32_t> histogram_;  // room of the operations
  std::vector<uint8_t> table_, copy_;
};

}  // namespace ptmz
