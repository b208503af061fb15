// Draws of colour jitter, RandAugment and erasing, and torchvision's table of operations and magnitudes.
#include "solvers/random_ops.h"

#include <algorithm>
#include <cmath>

#include "ir/error.h"

namespace ptmz {

namespace {

enum Block : uint64_t { kJitterFactors = 1, kJitterOrder = 2, kErasing = 3, kErasingAttempts = 4, kRandAugment = 16 };
constexpr int kAttempts = 10;

int64_t below(uint32_t bits, int64_t count) {
  return static_cast<int64_t>((static_cast<uint64_t>(bits) * count) >> 32);
}

// torch.linspace in float32, which counts from the nearer end.
double on_line(double begin, double end, int64_t place, int64_t places) {
  const float from = static_cast<float>(begin), to = static_cast<float>(end);
  const float step = (to - from) / static_cast<float>(places - 1);
  return place < places / 2 ? from + step * static_cast<float>(place)
                            : to - step * static_cast<float>(places - 1 - place);
}

// 8 - round(magnitude / ((bins - 1) / 4)), to even.
int bits_kept(const RandAugment& o) {
  const float quarter = static_cast<float>(static_cast<double>(o.bins - 1) / 4);
  return 8 - static_cast<int>(std::nearbyint(static_cast<float>(o.magnitude) / quarter));
}

// One of torchvision's operations. `m` is its magnitude, with a sign where `is_signed`.
struct Operation {
  double end;  // of the line from 0 on which magnitudes lie, for an image of side 1 where `side` is set
  bool is_signed;
  char side;  // 'w' or 'h': the line is that many times as long
  void (*apply)(ByteImage& image, double m, const RandAugment& options);
};

constexpr double kTranslation = 150.0 / 331.0;

const Operation kOperations[] = {
    {0, false, 0, [](ByteImage&, double, const RandAugment&) {}},
    {0.3, true, 0, [](ByteImage& image, double m, const RandAugment&) { shear_x(image, m); }},
    {0.3, true, 0, [](ByteImage& image, double m, const RandAugment&) { shear_y(image, m); }},
    {kTranslation, true, 'w',
     [](ByteImage& image, double m, const RandAugment&) { translate(image, static_cast<int64_t>(m), 0); }},
    {kTranslation, true, 'h',
     [](ByteImage& image, double m, const RandAugment&) { translate(image, 0, static_cast<int64_t>(m)); }},
    {30, true, 0, [](ByteImage& image, double m, const RandAugment&) { rotate(image, m); }},
    {0.9, true, 0, [](ByteImage& image, double m, const RandAugment&) { adjust_brightness(image, 1 + m); }},
    {0.9, true, 0, [](ByteImage& image, double m, const RandAugment&) { adjust_saturation(image, 1 + m); }},
    {0.9, true, 0, [](ByteImage& image, double m, const RandAugment&) { adjust_contrast(image, 1 + m); }},
    {0.9, true, 0, [](ByteImage& image, double m, const RandAugment&) { adjust_sharpness(image, 1 + m); }},
    {0, false, 0, [](ByteImage& image, double, const RandAugment& o) { posterize(image, bits_kept(o)); }},
    {0, false, 0,
     [](ByteImage& image, double, const RandAugment& o) { solarize(image, on_line(255, 0, o.magnitude, o.bins)); }},
    {0, false, 0, [](ByteImage& image, double, const RandAugment&) { autocontrast(image); }},
    {0, false, 0, [](ByteImage& image, double, const RandAugment&) { equalize(image); }},
};
constexpr int64_t kOperationCount = sizeof kOperations / sizeof *kOperations;

}  // namespace

bool ColourJitter::any() const {
  const auto moves = [](const Range& range, double still) { return range.low != still || range.high != still; };
  return moves(factors[0], 1) || moves(factors[1], 1) || moves(factors[2], 1) || moves(hue, 0);
}

void check_random_ops(const RandomOps& ops, int64_t channels, bool bytes) {
  const auto fail = [](const std::string& what) { throw Error("INVALID_ARGUMENT", "augment: " + what); };
  if (ops.colours() && !bytes) fail("colours can only be changed of images of bytes");
  if (ops.colours() && channels != 1 && channels != 3)
    fail("colours can only be changed of 1 or 3 channels, these are " + std::to_string(channels));
  const RandAugment& r = ops.rand_augment;
  if (r.operations < 0 || r.bins < 2 || r.magnitude < 0 || r.magnitude >= r.bins)
    fail("randAugment: expected a magnitude below the number of bins");
  const size_t values = ops.erasing.value.size();
  if (ops.erasing.probability > 0 && !ops.erasing.noise && values != static_cast<size_t>(channels))
    fail("erase.value: expected one value for each of " + std::to_string(channels) + " channels");
}

RandomKey SampleOps::key(int64_t sample, uint32_t stream) const {
  return {static_cast<uint32_t>(seed_),
          static_cast<uint32_t>(seed_ >> 32),
          static_cast<uint32_t>(Purpose::augment),
          stream,
          epoch_,
          static_cast<uint32_t>(sample)};
}

void SampleOps::recolour(ByteImage& image, int64_t sample) const {
  const RandomKey own = key(sample);
  if (ops_.jitter.any()) jitter(image, own);
  if (ops_.rand_augment.operations > 0) rand_augment(image, own);
}

void SampleOps::jitter(ByteImage& image, const RandomKey& key) const {
  const Random4 factors = philox(key, kJitterFactors), words = philox(key, kJitterOrder);
  int order[] = {0, 1, 2, 3};
  for (int i = 3; i > 0; --i) std::swap(order[i], order[below(words.v[i - 1], i + 1)]);
  void (*const adjust[])(ByteImage&, double) = {adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue};
  for (const int which : order) {
    const Range& range = which < 3 ? ops_.jitter.factors[which] : ops_.jitter.hue;
    const double still = which < 3 ? 1 : 0;
    if (range.low != still || range.high != still) adjust[which](image, range.at(factors.v[which]));
  }
}

void SampleOps::rand_augment(ByteImage& image, const RandomKey& key) const {
  const RandAugment& o = ops_.rand_augment;
  for (int64_t i = 0; i < o.operations; ++i) {
    const Random4 words = philox(key, kRandAugment + static_cast<uint64_t>(i));
    const Operation& operation = kOperations[below(words.v[0], kOperationCount)];
    const double sides = operation.side == 'w'   ? static_cast<double>(image.width)
                         : operation.side == 'h' ? static_cast<double>(image.height)
                                                 : 1;
    double m = on_line(0, operation.end * sides, o.magnitude, o.bins);
    if (operation.is_signed && words.v[1] >> 31) m = -m;
    operation.apply(image, m, o);
  }
}

template <typename T>
void SampleOps::erase(T* x, int64_t channels, int64_t height, int64_t width, int64_t sample) const {
  const RandomErasing& o = ops_.erasing;
  const RandomKey own = key(sample);
  if (o.probability == 0 || unit(philox(own, kErasing).v[0]) >= o.probability) return;
  const Range log_ratio{std::log(o.ratio.low), std::log(o.ratio.high)};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const Random4 words = philox(own, kErasingAttempts + static_cast<uint64_t>(attempt));
    const double area = static_cast<double>(height * width) * o.area.at(words.v[0]);
    const double ratio = std::exp(log_ratio.at(words.v[1]));
    const int64_t h = static_cast<int64_t>(std::nearbyint(std::sqrt(area * ratio)));
    const int64_t w = static_cast<int64_t>(std::nearbyint(std::sqrt(area / ratio)));
    if (h >= height || w >= width) continue;
    const int64_t top = below(words.v[2], height - h + 1), left = below(words.v[3], width - w + 1);
    const RandomKey noise = key(sample, 1);
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t i = top; i < top + h; ++i) {
        for (int64_t j = left; j < left + w; ++j) {
          const int64_t at = (c * height + i) * width + j;
          x[at] = static_cast<T>(o.noise ? random_normal(noise, static_cast<uint64_t>(at)) : o.value[c]);
        }
      }
    }
    return;
  }
}
template void SampleOps::erase<float>(float*, int64_t, int64_t, int64_t, int64_t) const;
template void SampleOps::erase<double>(double*, int64_t, int64_t, int64_t, int64_t) const;

}  // namespace ptmz
