// Augmentation of one image: what is drawn for it, and which of its pixels each pixel of the result shows. The CPU and
// the kernels of a device compile these lines, so that both move the same pixels.
#pragma once
#include "backend/shared/philox.h"

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

PTMZ_SHARED int64_t crop_offset(uint32_t bits, int64_t padding) {
  const uint64_t places = 2 * static_cast<uint64_t>(padding) + 1;
  return static_cast<int64_t>((bits * places) >> 32) - padding;
}

PTMZ_SHARED AugmentDraw draw_augmentation(const AugmentOptions& options, uint64_t seed, uint32_t epoch,
                                          uint32_t sample) {
  const Random4 r = philox({static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                            static_cast<uint32_t>(Purpose::augment), 0, epoch, sample},
                           0);
  const double degrees = (2 * unit(r.v[3]) - 1) * options.rotate;
  return {crop_offset(r.v[0], options.padding), crop_offset(r.v[1], options.padding), unit(r.v[2]) < options.flip,
          degrees * (3.141592653589793 / 180)};
}

// Sine and cosine of |angle| <= pi by the kernels of fdlibm (Sun Microsystems 1993). Written in fma and single
// products, so that no compiler can round it differently: libraries of sines do not agree in the last bit.
struct SineCosine {
  double sine, cosine;
};
PTMZ_SHARED SineCosine sine_cosine(double angle) {
  const double quarters = std::floor(std::fma(angle, 0.6366197723675814, 0.5));  // of a turn
  const double x = std::fma(-quarters, 6.123233995736766e-17, std::fma(-quarters, 1.5707963267948966, angle));
  const double z = x * x;
  double s = 1.58969099521155010221e-10, c = -1.13596475577881948265e-11;
  s = std::fma(s, z, -2.50507602534068634195e-08);
  s = std::fma(s, z, 2.75573137070700676789e-06);
  s = std::fma(s, z, -1.98412698298579493134e-04);
  s = std::fma(s, z, 8.33333333332248946124e-03);
  s = std::fma(s, z, -1.66666666666666324348e-01);
  const double sine = std::fma(x * z, s, x);
  c = std::fma(c, z, 2.08757232129817482790e-09);
  c = std::fma(c, z, -2.75573143513906633035e-07);
  c = std::fma(c, z, 2.48015872894767294178e-05);
  c = std::fma(c, z, -1.38888888888741095749e-03);
  c = std::fma(c, z, 4.16666666666666019037e-02);
  const double cosine = std::fma(z * z, c, std::fma(-0.5, z, 1.0));
  switch (static_cast<int>(quarters) & 3) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

// How an augmented image is walked, in 16.16 fixed point as Pillow does: x and y before rotation of its first pixel,
// what they gain from pixel to pixel and from row to row, and where flip and crop put them.
struct PixelWalk {
  int32_t x, y, step_x, step_y, next_x, next_y;
  int32_t mirror, right, down;  // x becomes mirror * x + right: one form for both sides of the mirror
  int32_t height, width;
};

PTMZ_SHARED int32_t fixed_point(double value) {
  return static_cast<int32_t>(std::floor(std::fma(value, 65536.0, 0.5)));
}

// From the last step to the first: a pixel's centre is turned back about the image's centre, mirrored back, and moved
// by the crop. All steps take nearest pixels, so that the composition is exact.
PTMZ_SHARED PixelWalk walk_of(const AugmentOptions& o, const AugmentDraw& draw) {
  const auto [sine, cosine] = sine_cosine(draw.angle);
  const double middle_y = o.height / 2.0, middle_x = o.width / 2.0;
  const double corner_x = std::fma(sine, middle_y, std::fma(-cosine, middle_x, middle_x));
  const double corner_y = std::fma(-cosine, middle_y, std::fma(-sine, middle_x, middle_y));
  const int32_t height = static_cast<int32_t>(o.height), width = static_cast<int32_t>(o.width);
  PixelWalk walk{};
  walk.x = fixed_point(std::fma(cosine - sine, 0.5, corner_x));
  walk.y = fixed_point(std::fma(sine + cosine, 0.5, corner_y));
  walk.step_x = fixed_point(cosine);
  walk.step_y = fixed_point(sine);
  walk.next_x = fixed_point(-sine);
  walk.next_y = fixed_point(cosine);
  walk.mirror = draw.flip ? -1 : 1;
  walk.right = static_cast<int32_t>(draw.right) + (draw.flip ? width - 1 : 0);
  walk.down = static_cast<int32_t>(draw.down);
  walk.height = height;
  walk.width = width;
  return walk;
}

PTMZ_SHARED bool lies_within(int32_t at, int32_t size) {
  return static_cast<uint32_t>(at) < static_cast<uint32_t>(size);
}

// 1 + the pixel of the image that pixel j of a row shows, which begins at (x, y); 0 for none. Without branches, so that
// compilers take several pixels at once.
PTMZ_SHARED int32_t shown_pixel(const PixelWalk& walk, int32_t row_x, int32_t row_y, int32_t j) {
  const int32_t turned_x = (row_x + j * walk.step_x) >> 16, turned_y = (row_y + j * walk.step_y) >> 16;
  const int32_t x = walk.mirror * turned_x + walk.right, y = turned_y + walk.down;
  // The rotation sees the cropped image: what lies outside of that is 0 even where the original went on.
  const bool inside = lies_within(turned_x, walk.width) & lies_within(turned_y, walk.height) &
                      lies_within(x, walk.width) & lies_within(y, walk.height);
  return inside ? y * walk.width + x + 1 : 0;
}

}  // namespace ptmz
