// What torchvision's ColorJitter, RandAugment and RandomErasing do to byte images, drawn for one sample at a time.
#pragma once
#include <cstdint>
#include <vector>

#include "backend/shared/philox.h"
#include "solvers/image_ops.h"

namespace ptmz {

struct Range {
  double low = 0, high = 0;
  double at(uint32_t bits) const { return low + (high - low) * unit(bits); }
};

// ColorJitter: factors of brightness, contrast and saturation, and turns of hue, in an order that is drawn too.
struct ColourJitter {
  Range factors[3] = {{1, 1}, {1, 1}, {1, 1}};
  Range hue;
  bool any() const;
};

// RandAugment: so many operations out of 14, of the strength `magnitude` out of `bins`.
struct RandAugment {
  int64_t operations = 0, magnitude = 9, bins = 31;
};

// RandomErasing, after normalisation: a rectangle of so large a part of the image and so high by its width.
struct RandomErasing {
  double probability = 0;
  Range area{0.02, 0.33}, ratio{0.3, 3.3};
  bool noise = false;         // N(0, 1) instead of values
  std::vector<double> value;  // one per channel
};

struct RandomOps {
  ColourJitter jitter;
  RandAugment rand_augment;
  RandomErasing erasing;
  bool colours() const { return jitter.any() || rand_augment.operations > 0; }
  bool any() const { return colours() || erasing.probability > 0; }
};
// Throws INVALID_ARGUMENT where these cannot be done to images of so many channels, or not to bytes.
void check_random_ops(const RandomOps& ops, int64_t channels, bool bytes);

// The operations of one member in one epoch. They share the key of the sample with crop, flip and rotation, which take
// its block 0; blocks 1 and 2 are the jitter's, 3 to 13 erasing's, those from 16 on RandAugment's.
class SampleOps {
 public:
  SampleOps(const RandomOps& ops, uint64_t seed, uint32_t epoch) : ops_(ops), seed_(seed), epoch_(epoch) {}
  bool colours() const { return ops_.colours(); }
  // Before normalisation.
  void recolour(ByteImage& image, int64_t sample) const;
  // x (C,H,W), normalised.
  template <typename T>
  void erase(T* x, int64_t channels, int64_t height, int64_t width, int64_t sample) const;

 private:
  RandomKey key(int64_t sample, uint32_t stream = 0) const;
  void jitter(ByteImage& image, const RandomKey& key) const;
  void rand_augment(ByteImage& image, const RandomKey& key) const;

  const RandomOps& ops_;
  uint64_t seed_;
  uint32_t epoch_;
};

}  // namespace ptmz
