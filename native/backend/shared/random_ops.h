// What torchvision's ColorJitter, RandAugment and RandomErasing do to images, drawn for one sample at a time. The CPU
// and the kernels of a device compile these lines; as those of image_ops.h, without fused products and sums.
#pragma once
#include <cmath>
#include <cstdint>

#include "backend/shared/image_ops.h"
#include "backend/shared/philox.h"

namespace ptmz {

struct Range {
  double low = 0, high = 0;
};
PTMZ_SHARED double drawn(const Range& range, uint32_t bits) {
  return range.low + (range.high - range.low) * unit(bits);
}

// ColorJitter: factors of brightness, contrast and saturation, and turns of hue, in an order that is drawn too.
struct ColourJitter {
  Range factors[3] = {{1, 1}, {1, 1}, {1, 1}};
  Range hue;
  PTMZ_MEMBER bool moves(int which) const {
    const Range& range = which < 3 ? factors[which] : hue;
    const double still = which < 3 ? 1 : 0;
    return range.low != still || range.high != still;
  }
  PTMZ_MEMBER bool any() const { return moves(0) || moves(1) || moves(2) || moves(3); }
};

// RandAugment: so many operations out of 14, of the strength `magnitude` out of `bins`.
struct RandAugment {
  int64_t operations = 0, magnitude = 9, bins = 31;
};

// RandomErasing, after normalisation: a rectangle of so large a part of the image and so high by its width.
struct RandomErasing {
  double probability = 0;
  Range area{0.02, 0.33}, log_ratio{-1.2039728043259361, 1.1939224684724346};  // 0.3 to 3.3
  bool noise = false;                                                          // N(0, 1) instead of given values
};

struct RandomOps {
  ColourJitter jitter;
  RandAugment rand_augment;
  RandomErasing erasing;
  PTMZ_MEMBER bool colours() const { return jitter.any() || rand_augment.operations > 0; }
  PTMZ_MEMBER bool any() const { return colours() || erasing.probability > 0; }
};

// The operations of a sample share its key with crop, flip and rotation, which take the key's block 0.
enum DrawBlock : uint64_t {
  kJitterFactors = 1,
  kJitterOrder = 2,
  kErasing = 3,
  kErasingAttempts = 4,  // to 13
  kRandAugment = 16      // and on
};
// `stream` 1: the noise of erasing.
PTMZ_SHARED RandomKey sample_key(uint64_t seed, uint32_t epoch, int64_t sample, uint32_t stream = 0) {
  return {static_cast<uint32_t>(seed),
          static_cast<uint32_t>(seed >> 32),
          static_cast<uint32_t>(Purpose::augment),
          stream,
          epoch,
          static_cast<uint32_t>(sample)};
}

PTMZ_SHARED int64_t below(uint32_t bits, int64_t count) {
  return static_cast<int64_t>((static_cast<uint64_t>(bits) * static_cast<uint64_t>(count)) >> 32);
}

// torch.linspace in float32, which counts from the nearer end.
PTMZ_SHARED double on_line(double begin, double end, int64_t place, int64_t places) {
  const float from = static_cast<float>(begin), to = static_cast<float>(end);
  const float step = (to - from) / static_cast<float>(places - 1);
  return place < places / 2 ? from + step * static_cast<float>(place)
                            : to - step * static_cast<float>(places - 1 - place);
}

// 8 - round(magnitude / ((bins - 1) / 4)), to even.
PTMZ_SHARED int bits_kept(const RandAugment& o) {
  const float quarter = static_cast<float>(static_cast<double>(o.bins - 1) / 4);
  return 8 - static_cast<int>(std::nearbyint(static_cast<float>(o.magnitude) / quarter));
}

// torchvision's operations, in its order: the magnitudes of those from shear_x to sharpness have a sign.
enum class ImageOperation {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  colour,
  contrast,
  sharpness,
  posterize,
  solarize,
  autocontrast,
  equalize,
  count
};

// The end of the line from 0 on which magnitudes lie.
PTMZ_SHARED double largest(ImageOperation operation, const ByteImage& image) {
  constexpr double translation = 150.0 / 331.0;
  switch (operation) {
    case ImageOperation::shear_x:
    case ImageOperation::shear_y:
      return 0.3;
    case ImageOperation::translate_x:
      return translation * image.width;
    case ImageOperation::translate_y:
      return translation * image.height;
    case ImageOperation::rotate:
      return 30;
    default:
      return 0.9;
  }
}

// `m`: its magnitude, with a sign where it has one.
template <typename Team>
PTMZ_TEAM void apply(const Team& team, ImageOperation operation, const ByteImage& image, const ImageRoom& room,
                     double m, const RandAugment& o) {
  switch (operation) {
    case ImageOperation::shear_x:
      return shear_x(team, image, room, m);
    case ImageOperation::shear_y:
      return shear_y(team, image, room, m);
    case ImageOperation::translate_x:
      return translate(team, image, room, static_cast<int64_t>(m), 0);
    case ImageOperation::translate_y:
      return translate(team, image, room, 0, static_cast<int64_t>(m));
    case ImageOperation::rotate:
      return rotate(team, image, room, m);
    case ImageOperation::brightness:
      return adjust_brightness(team, image, room, 1 + m);
    case ImageOperation::colour:
      return adjust_saturation(team, image, 1 + m);
    case ImageOperation::contrast:
      return adjust_contrast(team, image, room, 1 + m);
    case ImageOperation::sharpness:
      return adjust_sharpness(team, image, room, 1 + m);
    case ImageOperation::posterize:
      return posterize(team, image, bits_kept(o));
    case ImageOperation::solarize:
      return solarize(team, image, on_line(255, 0, o.magnitude, o.bins));
    case ImageOperation::autocontrast:
      return autocontrast(team, image, room);
    case ImageOperation::equalize:
      return equalize(team, image, room);
    default:
      return;
  }
}

template <typename Team>
PTMZ_TEAM void jitter(const Team& team, const ByteImage& image, const ImageRoom& room, const ColourJitter& o,
                      const RandomKey& key) {
  const Random4 factors = philox(key, kJitterFactors), words = philox(key, kJitterOrder);
  int order[] = {0, 1, 2, 3};
  for (int i = 3; i > 0; --i) {
    const int64_t with = below(words.v[i - 1], i + 1);
    const int swapped = order[i];
    order[i] = order[with];
    order[with] = swapped;
  }
  for (const int which : order) {
    if (!o.moves(which)) continue;
    const double factor = drawn(which < 3 ? o.factors[which] : o.hue, factors.v[which]);
    if (which == 0) adjust_brightness(team, image, room, factor);
    if (which == 1) adjust_contrast(team, image, room, factor);
    if (which == 2) adjust_saturation(team, image, factor);
    if (which == 3) adjust_hue(team, image, factor);
  }
}

template <typename Team>
PTMZ_TEAM void rand_augment(const Team& team, const ByteImage& image, const ImageRoom& room, const RandAugment& o,
                            const RandomKey& key) {
  for (int64_t i = 0; i < o.operations; ++i) {
    const Random4 words = philox(key, kRandAugment + static_cast<uint64_t>(i));
    const auto operation = static_cast<ImageOperation>(below(words.v[0], static_cast<int64_t>(ImageOperation::count)));
    const bool is_signed = operation >= ImageOperation::shear_x && operation <= ImageOperation::sharpness;
    const double m = on_line(0, largest(operation, image), o.magnitude, o.bins);
    apply(team, operation, image, room, is_signed && words.v[1] >> 31 ? -m : m, o);
  }
}

// Before normalisation: jitter, then RandAugment.
template <typename Team>
PTMZ_TEAM void recolour(const Team& team, const ByteImage& image, const ImageRoom& room, const RandomOps& ops,
                        const RandomKey& key) {
  if (ops.jitter.any()) jitter(team, image, room, ops.jitter, key);
  if (ops.rand_augment.operations > 0) rand_augment(team, image, room, ops.rand_augment, key);
}

// exp(x) for |x| <= 700 by the kernel of fdlibm (Sun Microsystems 1993): libraries do not agree in the last bit.
PTMZ_SHARED double exponential(double x) {
  const double twos = std::floor(x * 1.44269504088896338700 + 0.5);
  const double high = x - twos * 6.93147180369123816490e-01, low = twos * 1.90821492927058770002e-10;
  const double r = high - low, t = r * r;
  const double p =
      t * (1.66666666666666019037e-01 +
           t * (-2.77777777770155933842e-03 +
                t * (6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
  const double c = r - p;
  return std::ldexp(1 - ((low - r * c / (2 - c)) - high), static_cast<int>(twos));
}

struct Rectangle {
  int32_t top = 0, left = 0, height = 0, width = 0;
};

// What is erased of the normalised image; empty for nothing.
PTMZ_SHARED Rectangle erased_part(const RandomErasing& o, const RandomKey& key, int64_t height, int64_t width) {
  constexpr int attempts = 10;
  if (o.probability == 0 || unit(philox(key, kErasing).v[0]) >= o.probability) return {};
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const Random4 words = philox(key, kErasingAttempts + static_cast<uint64_t>(attempt));
    const double area = static_cast<double>(height * width) * drawn(o.area, words.v[0]);
    const double ratio = exponential(drawn(o.log_ratio, words.v[1]));
    const double h = std::nearbyint(std::sqrt(area * ratio)), w = std::nearbyint(std::sqrt(area / ratio));
    if (h >= static_cast<double>(height) || w >= static_cast<double>(width)) continue;
    const int64_t rows = static_cast<int64_t>(h), columns = static_cast<int64_t>(w);
    return {static_cast<int32_t>(below(words.v[2], height - rows + 1)),
            static_cast<int32_t>(below(words.v[3], width - columns + 1)), static_cast<int32_t>(rows),
            static_cast<int32_t>(columns)};
  }
  return {};
}

}  // namespace ptmz
