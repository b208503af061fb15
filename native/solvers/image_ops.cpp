// Byte images as Pillow computes them: its integers, its float32 steps and its ways of rounding.
#include "solvers/image_ops.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "solvers/augment.h"

namespace ptmz {

namespace {

using Table = std::array<uint8_t, 256>;
using Histogram = std::array<int64_t, 256>;

uint8_t clipped(int64_t value) { return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, 255)); }

// Image.blend: from `other` at alpha 0 to the image at 1, and beyond; cut off, not rounded.
uint8_t blended(int other, int pixel, float alpha) {
  const float value = static_cast<float>(other) + alpha * static_cast<float>(pixel - other);
  return value <= 0 ? 0 : value >= 255 ? 255 : static_cast<uint8_t>(value);
}

// Image.convert('L'): ITU-R 601-2 luma in 16.16 fixed point.
uint8_t grey(const ByteImage& image, int64_t k) {
  const uint8_t* p = image.pixels + k;
  if (image.channels == 1) return *p;
  const int64_t plane = image.plane();
  return static_cast<uint8_t>((p[0] * 19595 + p[plane] * 38470 + p[2 * plane] * 7471 + 0x8000) >> 16);
}

void map_bytes(uint8_t* pixels, int64_t count, const Table& table) {
  for (int64_t k = 0; k < count; ++k) pixels[k] = table[pixels[k]];
}

// Image.blend of one grey with the image.
void blend_all(ByteImage& image, int other, double factor) {
  Table table;
  for (int i = 0; i < 256; ++i) table[i] = blended(other, i, static_cast<float>(factor));
  map_bytes(image.pixels, image.size(), table);
}

template <typename F>
void map_channels(ByteImage& image, const F& table_of) {
  for (int64_t c = 0; c < image.channels; ++c) {
    uint8_t* pixels = image.pixels + c * image.plane();
    Histogram histogram{};
    for (int64_t k = 0; k < image.plane(); ++k) ++histogram[pixels[k]];
    map_bytes(pixels, image.plane(), table_of(histogram));
  }
}

Table identity() {
  Table table;
  for (int i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(i);
  return table;
}

// Shows of each channel the pixels that `source` names: 1 + the pixel, 0 for none.
void move_pixels(ByteImage& image, const std::vector<int32_t>& source) {
  std::vector<uint8_t> framed(image.plane() + 1);
  for (int64_t c = 0; c < image.channels; ++c) {
    uint8_t* pixels = image.pixels + c * image.plane();
    std::copy(pixels, pixels + image.plane(), framed.begin() + 1);
    for (int64_t k = 0; k < image.plane(); ++k) pixels[k] = framed[source[k]];
  }
}

// from(i, j): the row and column that pixel (i, j) shows.
template <typename F>
void move(ByteImage& image, const F& from) {
  std::vector<int32_t> source(image.plane());
  for (int64_t i = 0, k = 0; i < image.height; ++i) {
    for (int64_t j = 0; j < image.width; ++j, ++k) {
      const auto [y, x] = from(i, j);
      const bool inside = y >= 0 && y < image.height && x >= 0 && x < image.width;
      source[k] = inside ? static_cast<int32_t>(y * image.width + x + 1) : 0;
    }
  }
  move_pixels(image, source);
}

struct Place {
  int64_t y, x;
};

// 16.16 fixed point, as Pillow walks along lines.
int64_t fixed(double value) { return static_cast<int64_t>(std::floor(value * 65536 + 0.5)); }

struct Hsv {
  uint8_t h, s, v;
};

Hsv to_hsv(uint8_t r, uint8_t g, uint8_t b) {
  const uint8_t most = std::max({r, g, b}), least = std::min({r, g, b});
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

std::array<uint8_t, 3> to_rgb(const Hsv& colour) {
  if (colour.s == 0) return {colour.v, colour.v, colour.v};
  const float h = static_cast<float>(colour.h * 6.0 / 255.0), s = static_cast<float>(colour.s / 255.0);
  const int sector = static_cast<int>(h);
  const float part = h - static_cast<float>(sector);
  const uint8_t v = colour.v;
  // round() of a float from 0 to 255: the half is added in double, where nothing is lost.
  const auto rounded = [v](double x) { return static_cast<uint8_t>(static_cast<float>(v * x) + 0.5); };
  const uint8_t p = rounded(1.0 - s), q = rounded(1.0 - s * part), t = rounded(1.0 - s * (1.0 - part));
  const std::array<uint8_t, 3> sectors[] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
  return sectors[sector % 6];
}

}  // namespace

void adjust_brightness(ByteImage& image, double factor) { blend_all(image, 0, factor); }

void adjust_contrast(ByteImage& image, double factor) {
  int64_t sum = 0;
  for (int64_t k = 0; k < image.plane(); ++k) sum += grey(image, k);
  const int mean = static_cast<int>(static_cast<double>(sum) / static_cast<double>(image.plane()) + 0.5);
  blend_all(image, mean, factor);
}

void adjust_saturation(ByteImage& image, double factor) {
  if (image.channels == 1) return;
  const float alpha = static_cast<float>(factor);
  for (int64_t k = 0; k < image.plane(); ++k) {
    const uint8_t other = grey(image, k);
    for (int64_t c = 0; c < 3; ++c) {
      uint8_t& pixel = image.pixels[c * image.plane() + k];
      pixel = blended(other, pixel, alpha);
    }
  }
}

// ImageFilter.SMOOTH is a 3 x 3 mean in which the centre counts five times; it leaves the border as it is.
void adjust_sharpness(ByteImage& image, double factor) {
  const int64_t height = image.height, width = image.width;
  if (height < 3 || width < 3) return;
  const float alpha = static_cast<float>(factor);
  std::vector<uint8_t> before(image.plane());
  for (int64_t c = 0; c < image.channels; ++c) {
    uint8_t* pixels = image.pixels + c * image.plane();
    std::copy(pixels, pixels + image.plane(), before.begin());
    for (int64_t i = 1; i < height - 1; ++i) {
      for (int64_t j = 1; j < width - 1; ++j) {
        const uint8_t* at = before.data() + i * width + j;
        int sum = 4 * at[0];
        for (int64_t line : {-width, int64_t{0}, width}) sum += at[line - 1] + at[line] + at[line + 1];
        // A multiple of 1/13 is never halfway between two integers.
        pixels[i * width + j] = blended((2 * sum + 13) / 26, at[0], alpha);
      }
    }
  }
}

void adjust_hue(ByteImage& image, double factor) {
  if (image.channels == 1) return;
  const uint8_t turn = static_cast<uint8_t>(static_cast<int32_t>(factor * 255));
  const int64_t plane = image.plane();
  for (uint8_t* p = image.pixels; p < image.pixels + plane; ++p) {
    Hsv colour = to_hsv(p[0], p[plane], p[2 * plane]);
    colour.h = static_cast<uint8_t>(colour.h + turn);
    const std::array<uint8_t, 3> rgb = to_rgb(colour);
    for (int c = 0; c < 3; ++c) p[c * plane] = rgb[c];
  }
}

void posterize(ByteImage& image, int bits) {
  const int mask = ~((1 << (8 - bits)) - 1);
  for (int64_t k = 0; k < image.size(); ++k) image.pixels[k] = static_cast<uint8_t>(image.pixels[k] & mask);
}

void solarize(ByteImage& image, double threshold) {
  Table table;
  for (int i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(i < threshold ? i : 255 - i);
  map_bytes(image.pixels, image.size(), table);
}

void autocontrast(ByteImage& image) {
  map_channels(image, [](const Histogram& histogram) {
    int low = 0, high = 255;
    while (low < 255 && histogram[low] == 0) ++low;
    while (high > 0 && histogram[high] == 0) --high;
    if (high <= low) return identity();
    const double scale = 255.0 / (high - low), offset = -low * scale;
    Table table;
    for (int i = 0; i < 256; ++i) table[i] = clipped(static_cast<int64_t>(i * scale + offset));
    return table;
  });
}

void equalize(ByteImage& image) {
  map_channels(image, [](const Histogram& histogram) {
    int64_t total = 0, last = 0, kinds = 0;
    for (const int64_t count : histogram) {
      total += count;
      kinds += count > 0;
      if (count > 0) last = count;
    }
    const int64_t step = (total - last) / 255;
    if (kinds <= 1 || step == 0) return identity();
    Table table;
    int64_t n = step / 2;
    for (int i = 0; i < 256; ++i) {
      table[i] = clipped(n / step);
      n += histogram[i];
    }
    return table;
  });
}

void shear_x(ByteImage& image, double factor) {
  const int64_t start = fixed(0.5 + factor * 0.5), step = fixed(factor);
  move(image, [=](int64_t i, int64_t j) { return Place{i, (start + j * 65536 + i * step) >> 16}; });
}

void shear_y(ByteImage& image, double factor) {
  const int64_t start = fixed(factor * 0.5 + 0.5), step = fixed(factor);
  move(image, [=](int64_t i, int64_t j) { return Place{(start + j * step + i * 65536) >> 16, j}; });
}

void translate(ByteImage& image, int64_t right, int64_t down) {
  move(image, [=](int64_t i, int64_t j) { return Place{i - down, j - right}; });
}

void rotate(ByteImage& image, double degrees) {
  AugmentOptions options;
  options.height = image.height;
  options.width = image.width;
  AugmentDraw draw;
  draw.angle = degrees * (3.141592653589793 / 180);
  std::vector<int32_t> source(image.plane());
  augmented_pixels(options, draw, source.data());
  move_pixels(image, source);
}

}  // namespace ptmz
