// Pillow's operations on byte images, to the last bit: those that torchvision's ColorJitter and RandAugment are made
// of.
#pragma once
#include <cstdint>
#include <vector>

namespace ptmz {

// pixels (C,H,W) of one image, C = 1 (grey) or 3 (red, green, blue). Operations change them in place.
struct ByteImage {
  uint8_t* pixels;
  int64_t channels, height, width;
  int64_t plane() const { return height * width; }
  int64_t size() const { return channels * plane(); }
};

// ImageEnhance: factor 1 leaves an image as it is, 0 makes it black, its mean grey, grey, or smooth.
void adjust_brightness(ByteImage& image, double factor);
void adjust_contrast(ByteImage& image, double factor);
void adjust_saturation(ByteImage& image, double factor);
void adjust_sharpness(ByteImage& image, double factor);
// The hue of every pixel moves by `factor` turns, in [-0.5, 0.5].
void adjust_hue(ByteImage& image, double factor);
// ImageOps: keeps the highest `bits` of every byte; inverts bytes of `threshold` or more; stretches each channel to
// 0..255; makes the bytes of each channel equally frequent.
void posterize(ByteImage& image, int bits);
void solarize(ByteImage& image, double threshold);
void autocontrast(ByteImage& image);
void equalize(ByteImage& image);

// Image.transform with nearest pixels; what comes from outside is 0. By `factor` pixels per line or column about the
// corner; by whole pixels; by degrees counter-clockwise about the centre.
void shear_x(ByteImage& image, double factor);
void shear_y(ByteImage& image, double factor);
void translate(ByteImage& image, int64_t right, int64_t down);
void rotate(ByteImage& image, double degrees);

}  // namespace ptmz
