// Augmentation of images while a batch is gathered: random crop, horizontal flip and rotation, as one map of pixels.
// What changes colours, and what comes after these three, is in random_ops.h.
#pragma once
#include "backend/shared/augmentation.h"

namespace ptmz {

// source (H,W): 1 + the pixel of the image that each pixel of the augmented one shows, 0 for none. Rotation is
// Pillow's, of which torchvision's is made: nearest pixel in 16.16 fixed point, so no side may exceed kLargestTurned.
constexpr int64_t kLargestTurned = 1 << 14;
void augmented_pixels(const AugmentOptions& options, const AugmentDraw& draw, int32_t* source);

// The augmentation of one member in one epoch; a function of these and the sample, not of its place in a batch.
struct Augmentation {
  AugmentOptions options;
  uint64_t seed = 0;
  uint32_t epoch = 0;
  void pixels(int64_t sample, int32_t* source) const {
    augmented_pixels(options, draw_augmentation(options, seed, epoch, static_cast<uint32_t>(sample)), source);
  }
};

}  // namespace ptmz
