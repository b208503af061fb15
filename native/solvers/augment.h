// Augmentation of images while a batch is gathered: random crop, horizontal flip and rotation, as one map of pixels.
// What changes colours, and what comes after these three, is in random_ops.h.
#pragma once
#include <cstdint>

namespace ptmz {

// What torchvision's RandomCrop(size, padding), RandomHorizontalFlip(flip) and RandomRotation(rotate), in this order,
// do to images of height x width. All three only move pixels; what comes from outside is 0.
struct AugmentOptions {
  int64_t height = 1, width = 1;
  int64_t padding = 0;  // pixels of zeros around the image out of which the crop is taken; 0: no crop
  double flip = 0;      // probability
  double rotate = 0;    // degrees to either side; nearest pixel, about the centre
  bool ops = false;     // whether Dataset::ops come after these
  bool any() const { return padding > 0 || flip > 0 || rotate > 0 || ops; }
};

// What is drawn for one sample: Philox words 0 to 3 of (seed, augment, epoch, step = position in the data set).
struct AugmentDraw {
  int64_t down = 0, right = 0;  // where the crop begins, from the image's corner
  bool flip = false;
  double angle = 0;  // radians, counter-clockwise
};
AugmentDraw draw_augmentation(const AugmentOptions& options, uint64_t seed, uint32_t epoch, uint32_t sample);

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
