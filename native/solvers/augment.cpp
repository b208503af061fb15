// Draws of augmentations, and the map of pixels that crop, flip and rotation make together.
#include "solvers/augment.h"

#include <cmath>

#include "backend/shared/philox.h"

namespace ptmz {

AugmentDraw draw_augmentation(const AugmentOptions& options, uint64_t seed, uint32_t epoch, uint32_t sample) {
  const Random4 r = philox({static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                            static_cast<uint32_t>(Purpose::augment), 0, epoch, sample},
                           0);
  const auto offset = [&](uint32_t bits) {
    const uint64_t places = 2 * static_cast<uint64_t>(options.padding) + 1;
    return static_cast<int64_t>((bits * places) >> 32) - options.padding;
  };
  const double degrees = (2 * unit(r.v[3]) - 1) * options.rotate;
  return {offset(r.v[0]), offset(r.v[1]), unit(r.v[2]) < options.flip, degrees * (3.141592653589793 / 180)};
}

// From the last step to the first: a pixel's centre is turned back about the image's centre, mirrored back, and moved
// by the crop. All steps take nearest pixels, so that the composition is exact.
void augmented_pixels(const AugmentOptions& o, const AugmentDraw& draw, int32_t* source) {
  const double cosine = std::cos(draw.angle), sine = std::sin(draw.angle);
  const double middle_y = o.height / 2.0, middle_x = o.width / 2.0;
  for (int64_t i = 0; i < o.height; ++i) {
    for (int64_t j = 0; j < o.width; ++j) {
      const double dy = i + 0.5 - middle_y, dx = j + 0.5 - middle_x;
      int64_t y = i, x = j;
      if (draw.angle != 0) {
        y = static_cast<int64_t>(std::floor(sine * dx + cosine * dy + middle_y));
        x = static_cast<int64_t>(std::floor(cosine * dx - sine * dy + middle_x));
      }
      // The rotation sees the cropped image: what lies outside of that is 0 even where the original went on.
      const bool seen = y >= 0 && y < o.height && x >= 0 && x < o.width;
      if (draw.flip) x = o.width - 1 - x;
      y += draw.down;
      x += draw.right;
      const bool inside = seen && y >= 0 && y < o.height && x >= 0 && x < o.width;
      *source++ = inside ? static_cast<int32_t>(y * o.width + x) : -1;
    }
  }
}

}  // namespace ptmz
