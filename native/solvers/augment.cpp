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

namespace {

// A line of the image before rotation in 16.16 fixed point, as Pillow walks it: x and y of the first pixel, and steps.
struct Walk {
  int32_t x, y, step_x, step_y;
};

int32_t fixed(double value) { return static_cast<int32_t>(std::floor(value * 65536 + 0.5)); }

}  // namespace

// From the last step to the first: a pixel's centre is turned back about the image's centre, mirrored back, and moved
// by the crop. All steps take nearest pixels, so that the composition is exact.
void augmented_pixels(const AugmentOptions& o, const AugmentDraw& draw, int32_t* source) {
  const int32_t height = static_cast<int32_t>(o.height), width = static_cast<int32_t>(o.width);
  const double cosine = std::cos(draw.angle), sine = std::sin(draw.angle);
  const double middle_y = o.height / 2.0, middle_x = o.width / 2.0;
  const double corner_x = middle_x - cosine * middle_x + sine * middle_y;
  const double corner_y = middle_y - sine * middle_x - cosine * middle_y;
  Walk line{fixed(corner_x + (cosine - sine) * 0.5), fixed(corner_y + (sine + cosine) * 0.5), fixed(cosine),
            fixed(sine)};
  const int32_t next_x = fixed(-sine), next_y = fixed(cosine);
  // x becomes mirror * x + right: one form for both sides of the mirror.
  const int32_t mirror = draw.flip ? -1 : 1, right = static_cast<int32_t>(draw.right) + (draw.flip ? width - 1 : 0);
  const int32_t down = static_cast<int32_t>(draw.down);
  for (int32_t i = 0; i < height; ++i, line.x += next_x, line.y += next_y, source += width) {
    // Without branches, so that compilers take several pixels at once.
    for (int32_t j = 0; j < width; ++j) {
      const int32_t turned_x = (line.x + j * line.step_x) >> 16, turned_y = (line.y + j * line.step_y) >> 16;
      const int32_t x = mirror * turned_x + right, y = turned_y + down;
      // The rotation sees the cropped image: what lies outside of that is 0 even where the original went on.
      const auto within = [](int32_t at, int32_t size) {
        return static_cast<uint32_t>(at) < static_cast<uint32_t>(size);
      };
      const bool inside = within(turned_x, width) & within(turned_y, height) & within(x, width) & within(y, height);
      source[j] = inside ? y * width + x + 1 : 0;
    }
  }
}

}  // namespace ptmz
