// Hue, saturation and value of a pixel and back, in Pillow's float32 steps: nothing of them may be fused.
#pragma once
#include <cstdint>

#include "host_device.h"

namespace ptmz {

PTMZ_SHARED uint8_t clipped(int64_t value) { return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value); }

struct Hsv {
  uint8_t h, s, v;
};
struct Rgb {
  uint8_t channel[3];
};

PTMZ_SHARED Hsv to_hsv(uint8_t r, uint8_t g, uint8_t b) {
  const uint8_t high = r > g ? r : g, low = r < g ? r : g;
  const uint8_t most = high > b ? high : b, least = low < b ? low : b;
  if (most == least) return {0, 0, most};
  const float range = static_cast<float>(most - least);
  const float s = range / static_cast<float>(most);
  const float rc = static_cast<float>(most - r) / range, gc = static_cast<float>(most - g) / range,
              bc = static_cast<float>(most - b) / range;
  float h;
  if (r == most) {
    h = bc - gc;
  } else if (g == most) {
    h = static_cast<float>(2.0 + rc - bc);
  } else {
    h = static_cast<float>(4.0 + gc - rc);
  }
  // fmod by 1 of what lies between 5/6 and 11/6.
  const double turns = h / 6.0 + 1.0;
  h = static_cast<float>(turns >= 1 ? turns - 1 : turns);
  return {clipped(static_cast<int>(h * 255.0)), clipped(static_cast<int>(s * 255.0)), most};
}

// round() of a float from 0 to 255: the half is added in double, where nothing is lost.
PTMZ_SHARED uint8_t rounded_part(uint8_t v, double part) {
  return static_cast<uint8_t>(static_cast<float>(v * part) + 0.5);
}

PTMZ_SHARED Rgb to_rgb(const Hsv& colour) {
  const uint8_t v = colour.v;
  if (colour.s == 0) return {{v, v, v}};
  const float h = static_cast<float>(colour.h * 6.0 / 255.0), s = static_cast<float>(colour.s / 255.0);
  const int sector = static_cast<int>(h);
  const float part = h - static_cast<float>(sector);
  const uint8_t p = rounded_part(v, 1.0 - s), q = rounded_part(v, 1.0 - s * part),
                t = rounded_part(v, 1.0 - s * (1.0 - part));
  const Rgb sectors[] = {{{v, t, p}}, {{q, v, p}}, {{p, v, t}}, {{p, q, v}}, {{t, p, v}}, {{v, p, q}}};
  return sectors[sector % 6];
}

}  // namespace ptmz
