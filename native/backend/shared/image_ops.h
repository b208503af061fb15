// Pillow's operations on byte images, to the last bit - its integers, its float32 steps and its ways of rounding: those
// that torchvision's ColorJitter and RandAugment are made of. A team of threads works on an image: a block of a device,
// or one thread of the CPU. Whoever compiles these lines must not let products and sums be fused.
#pragma once
#include <cmath>
#include <cstdint>

#include "backend/shared/augmentation.h"
#include "backend/shared/hue.h"

namespace ptmz {

// pixels (C,H,W) of one image, C = 1 (grey) or 3 (red, green, blue). Operations change them in place.
struct ByteImage {
  uint8_t* pixels;
  int32_t channels, height, width;
  PTMZ_MEMBER int32_t plane() const { return height * width; }
  PTMZ_MEMBER int64_t size() const { return static_cast<int64_t>(channels) * plane(); }
  PTMZ_MEMBER uint8_t* channel(int32_t c) const { return pixels + static_cast<int64_t>(c) * plane(); }
};

// What operations need beside the image.
struct ImageRoom {
  uint8_t* copy;       // (C,H,W)
  int32_t* histogram;  // (C,256)
  uint8_t* table;      // (C,256): what bytes become
};

struct OneThread {
  static constexpr int lane = 0, lanes = 1;
  void meet() const {}
  void count(int32_t& number) const { ++number; }
};

// f(k) for k in [0, count), each by one thread of the team, which then meets.
template <typename Team, typename F>
PTMZ_TEAM void each(const Team& team, int64_t count, const F& f) {
  for (int64_t k = team.lane; k < count; k += team.lanes) f(k);
  team.meet();
}

// ---- bytes

// Image.blend: from `other` at alpha 0 to the image at 1, and beyond; cut off, not rounded.
PTMZ_SHARED uint8_t blended(int other, int pixel, float alpha) {
  const float value = static_cast<float>(other) + alpha * static_cast<float>(pixel - other);
  return value <= 0 ? 0 : value >= 255 ? 255 : static_cast<uint8_t>(value);
}

// Image.convert('L'): ITU-R 601-2 luma in 16.16 fixed point.
PTMZ_SHARED uint8_t grey(const ByteImage& image, int64_t k) {
  const uint8_t* p = image.pixels + k;
  if (image.channels == 1) return *p;
  const int64_t plane = image.plane();
  return static_cast<uint8_t>((p[0] * 19595 + p[plane] * 38470 + p[2 * plane] * 7471 + 0x8000) >> 16);
}

// ---- tables

// `row`: from the table of one channel to the next; 0: one for all.
template <typename Team>
PTMZ_TEAM void map_bytes(const Team& team, const ByteImage& image, const uint8_t* table, int row) {
  for (int32_t c = 0; c < image.channels; ++c, table += row) {
    uint8_t* const pixels = image.channel(c);
    each(team, image.plane(), [=](int64_t k) { pixels[k] = table[pixels[k]]; });
  }
}

// Image.blend of one grey with the image.
template <typename Team>
PTMZ_TEAM void blend_all(const Team& team, const ByteImage& image, const ImageRoom& room, int other, double factor) {
  const float alpha = static_cast<float>(factor);
  each(team, 256, [&](int64_t i) { room.table[i] = blended(other, static_cast<int>(i), alpha); });
  map_bytes(team, image, room.table, 0);
}

// The bytes byte(0), ..., byte(count - 1).
template <typename Team, typename F>
PTMZ_TEAM void count_bytes(const Team& team, int32_t* histogram, int64_t count, const F& byte) {
  each(team, 256, [=](int64_t i) { histogram[i] = 0; });
  each(team, count, [&](int64_t k) { team.count(histogram[byte(k)]); });
}

// write(histogram, table) of every channel, by one thread.
template <typename Team, typename F>
PTMZ_TEAM void map_channels(const Team& team, const ByteImage& image, const ImageRoom& room, const F& write) {
  for (int32_t c = 0; c < image.channels; ++c) {
    const uint8_t* const pixels = image.channel(c);
    count_bytes(team, room.histogram + 256 * c, image.plane(), [=](int64_t k) { return pixels[k]; });
  }
  each(team, image.channels, [&](int64_t c) { write(room.histogram + 256 * c, room.table + 256 * c); });
  map_bytes(team, image, room.table, 256);
}

PTMZ_SHARED void autocontrast_table(const int32_t* histogram, uint8_t* table) {
  int low = 0, high = 255;
  while (low < 255 && histogram[low] == 0) ++low;
  while (high > 0 && histogram[high] == 0) --high;
  const bool flat = high <= low;
  const double scale = flat ? 1 : 255.0 / (high - low), offset = flat ? 0 : -low * scale;
  for (int i = 0; i < 256; ++i) table[i] = clipped(static_cast<int64_t>(i * scale + offset));
}

PTMZ_SHARED void equalize_table(const int32_t* histogram, uint8_t* table) {
  int64_t total = 0, last = 0, kinds = 0;
  for (int i = 0; i < 256; ++i) {
    total += histogram[i];
    kinds += histogram[i] > 0;
    if (histogram[i] > 0) last = histogram[i];
  }
  const int64_t step = (total - last) / 255;
  const bool flat = kinds <= 1 || step == 0;
  int64_t n = step / 2;
  for (int i = 0; i < 256; ++i) {
    table[i] = flat ? static_cast<uint8_t>(i) : clipped(n / step);
    n += histogram[i];
  }
}

// ---- ImageEnhance: factor 1 leaves an image as it is, 0 makes it black, its mean grey, grey, or smooth

template <typename Team>
PTMZ_TEAM void adjust_brightness(const Team& team, const ByteImage& image, const ImageRoom& room, double factor) {
  blend_all(team, image, room, 0, factor);
}

template <typename Team>
PTMZ_TEAM void adjust_contrast(const Team& team, const ByteImage& image, const ImageRoom& room, double factor) {
  count_bytes(team, room.histogram, image.plane(), [&](int64_t k) { return grey(image, k); });
  int64_t sum = 0;
  for (int i = 0; i < 256; ++i) sum += static_cast<int64_t>(i) * room.histogram[i];
  const int mean = static_cast<int>(static_cast<double>(sum) / static_cast<double>(image.plane()) + 0.5);
  blend_all(team, image, room, mean, factor);
}

template <typename Team>
PTMZ_TEAM void adjust_saturation(const Team& team, const ByteImage& image, double factor) {
  if (image.channels == 1) return;
  const float alpha = static_cast<float>(factor);
  each(team, image.plane(), [&](int64_t k) {
    const uint8_t other = grey(image, k);
    for (int32_t c = 0; c < 3; ++c) image.channel(c)[k] = blended(other, image.channel(c)[k], alpha);
  });
}

template <typename Team>
PTMZ_TEAM void copy_image(const Team& team, const ByteImage& image, const ImageRoom& room) {
  each(team, image.size(), [&](int64_t k) { room.copy[k] = image.pixels[k]; });
}

// ImageFilter.SMOOTH is a 3 x 3 mean in which the centre counts five times; it leaves the border as it is.
template <typename Team>
PTMZ_TEAM void adjust_sharpness(const Team& team, const ByteImage& image, const ImageRoom& room, double factor) {
  const int32_t height = image.height, width = image.width;
  if (height < 3 || width < 3) return;
  const float alpha = static_cast<float>(factor);
  copy_image(team, image, room);
  each(team, image.plane(), [&](int64_t k) {
    const int32_t i = static_cast<int32_t>(k) / width, j = static_cast<int32_t>(k) - i * width;
    if (i == 0 || i == height - 1 || j == 0 || j == width - 1) return;
    for (int32_t c = 0; c < image.channels; ++c) {
      const uint8_t* const at = room.copy + static_cast<int64_t>(c) * image.plane() + k;
      int sum = 4 * at[0];
      for (int32_t line = -width; line <= width; line += width) sum += at[line - 1] + at[line] + at[line + 1];
      // A multiple of 1/13 is never halfway between two integers.
      image.channel(c)[k] = blended((2 * sum + 13) / 26, at[0], alpha);
    }
  });
}

// The hue of every pixel moves by `factor` turns, in [-0.5, 0.5].
template <typename Team>
PTMZ_TEAM void adjust_hue(const Team& team, const ByteImage& image, double factor) {
  if (image.channels == 1) return;
  const uint8_t turn = static_cast<uint8_t>(static_cast<int32_t>(factor * 255));
  each(team, image.plane(), [&](int64_t k) {
    Hsv colour = to_hsv(image.channel(0)[k], image.channel(1)[k], image.channel(2)[k]);
    colour.h = static_cast<uint8_t>(colour.h + turn);
    const Rgb rgb = to_rgb(colour);
    for (int32_t c = 0; c < 3; ++c) image.channel(c)[k] = rgb.channel[c];
  });
}

// ---- ImageOps: keeps the highest `bits` of every byte; inverts bytes of `threshold` or more; stretches each channel
// to 0..255; makes the bytes of each channel equally frequent

template <typename Team>
PTMZ_TEAM void posterize(const Team& team, const ByteImage& image, int bits) {
  const int mask = ~((1 << (8 - bits)) - 1);
  each(team, image.size(), [&](int64_t k) { image.pixels[k] = static_cast<uint8_t>(image.pixels[k] & mask); });
}

template <typename Team>
PTMZ_TEAM void solarize(const Team& team, const ByteImage& image, double threshold) {
  each(team, image.size(), [&](int64_t k) {
    const uint8_t byte = image.pixels[k];
    image.pixels[k] = static_cast<uint8_t>(byte < threshold ? byte : 255 - byte);
  });
}

template <typename Team>
PTMZ_TEAM void autocontrast(const Team& team, const ByteImage& image, const ImageRoom& room) {
  map_channels(team, image, room,
               [](const int32_t* histogram, uint8_t* table) { autocontrast_table(histogram, table); });
}

template <typename Team>
PTMZ_TEAM void equalize(const Team& team, const ByteImage& image, const ImageRoom& room) {
  map_channels(team, image, room, [](const int32_t* histogram, uint8_t* table) { equalize_table(histogram, table); });
}

// ---- Image.transform with nearest pixels; what comes from outside is 0

// from(i, j): 1 + the pixel that pixel (i, j) shows, 0 for none.
template <typename Team, typename F>
PTMZ_TEAM void move(const Team& team, const ByteImage& image, const ImageRoom& room, const F& from) {
  copy_image(team, image, room);
  each(team, image.plane(), [&](int64_t k) {
    const int32_t i = static_cast<int32_t>(k) / image.width, j = static_cast<int32_t>(k) - i * image.width;
    const int32_t shown = from(i, j);
    for (int32_t c = 0; c < image.channels; ++c)
      image.channel(c)[k] = shown ? room.copy[static_cast<int64_t>(c) * image.plane() + shown - 1] : uint8_t{0};
  });
}

PTMZ_SHARED int32_t pixel_at(const ByteImage& image, int64_t y, int64_t x) {
  const bool inside = y >= 0 && y < image.height && x >= 0 && x < image.width;
  return inside ? static_cast<int32_t>(y * image.width + x + 1) : 0;
}

// 16.16 fixed point, as Pillow walks along lines.
PTMZ_SHARED int64_t fixed(double value) { return static_cast<int64_t>(std::floor(value * 65536 + 0.5)); }

// By `factor` pixels per line or column about the corner.
template <typename Team>
PTMZ_TEAM void shear_x(const Team& team, const ByteImage& image, const ImageRoom& room, double factor) {
  const int64_t start = fixed(0.5 + factor * 0.5), step = fixed(factor);
  move(team, image, room,
       [&](int64_t i, int64_t j) { return pixel_at(image, i, (start + j * 65536 + i * step) >> 16); });
}

template <typename Team>
PTMZ_TEAM void shear_y(const Team& team, const ByteImage& image, const ImageRoom& room, double factor) {
  const int64_t start = fixed(factor * 0.5 + 0.5), step = fixed(factor);
  move(team, image, room,
       [&](int64_t i, int64_t j) { return pixel_at(image, (start + j * step + i * 65536) >> 16, j); });
}

template <typename Team>
PTMZ_TEAM void translate(const Team& team, const ByteImage& image, const ImageRoom& room, int64_t right, int64_t down) {
  move(team, image, room, [&](int64_t i, int64_t j) { return pixel_at(image, i - down, j - right); });
}

// Counter-clockwise about the centre.
template <typename Team>
PTMZ_TEAM void rotate(const Team& team, const ByteImage& image, const ImageRoom& room, double degrees) {
  AugmentOptions options;
  options.height = image.height;
  options.width = image.width;
  AugmentDraw draw;
  draw.angle = degrees * (3.141592653589793 / 180);
  const PixelWalk walk = walk_of(options, draw);
  move(team, image, room,
       [&](int32_t i, int32_t j) { return shown_pixel(walk, walk.x + i * walk.next_x, walk.y + i * walk.next_y, j); });
}

}  // namespace ptmz
