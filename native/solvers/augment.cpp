// The map of pixels that crop, flip and rotation make together, row by row.
#include "solvers/augment.h"

namespace ptmz {

void augmented_pixels(const AugmentOptions& options, const AugmentDraw& draw, int32_t* source) {
  const PixelWalk walk = walk_of(options, draw);
  int32_t row_x = walk.x, row_y = walk.y;
  for (int32_t i = 0; i < walk.height; ++i, row_x += walk.next_x, row_y += walk.next_y, source += walk.width) {
    for (int32_t j = 0; j < walk.width; ++j) source[j] = shown_pixel(walk, row_x, row_y, j);
  }
}

}  // namespace ptmz
