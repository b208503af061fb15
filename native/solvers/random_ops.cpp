// Colour jitter, RandAugment and erasing on the CPU: a team of one thread for each sample.
#include "solvers/random_ops.h"

#include <string>

#include "ir/error.h"

namespace ptmz {

void check_random_ops(const RandomOps& ops, const std::vector<double>& fill, int64_t channels, bool bytes) {
  const auto fail = [](const std::string& what) { throw Error("INVALID_ARGUMENT", "augment: " + what); };
  if (ops.colours() && !bytes) fail("colours can only be changed of images of bytes");
  if (ops.colours() && channels != 1 && channels != 3)
    fail("colours can only be changed of 1 or 3 channels, these are " + std::to_string(channels));
  const RandAugment& r = ops.rand_augment;
  if (r.operations < 0 || r.bins < 2 || r.magnitude < 0 || r.magnitude >= r.bins)
    fail("randAugment: expected a magnitude below the number of bins");
  if (ops.erasing.probability > 0 && !ops.erasing.noise && fill.size() != static_cast<size_t>(channels))
    fail("erase.value: expected one value for each of " + std::to_string(channels) + " channels");
}

SampleOps::SampleOps(const RandomOps& ops, const std::vector<double>& fill, uint64_t seed, uint32_t epoch)
    : ops_(ops), fill_(fill), seed_(seed), epoch_(epoch) {}

void SampleOps::recolour(const ByteImage& image, int64_t sample) {
  histogram_.resize(256 * static_cast<size_t>(image.channels));
  table_.resize(histogram_.size());
  copy_.resize(static_cast<size_t>(image.size()));
  const ImageRoom room{copy_.data(), histogram_.data(), table_.data()};
  ptmz::recolour(OneThread{}, image, room, ops_, sample_key(seed_, epoch_, sample));
}

template <typename T>
void SampleOps::erase(T* x, int64_t channels, int64_t height, int64_t width, int64_t sample) const {
  const Rectangle part = erased_part(ops_.erasing, sample_key(seed_, epoch_, sample), height, width);
  const RandomKey noise = sample_key(seed_, epoch_, sample, 1);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = part.top; i < part.top + part.height; ++i) {
      for (int64_t j = part.left; j < part.left + part.width; ++j) {
        const int64_t at = (c * height + i) * width + j;
        x[at] = static_cast<T>(ops_.erasing.noise ? random_normal(noise, static_cast<uint64_t>(at)) : fill_[c]);
      }
    }
  }
}
template void SampleOps::erase<float>(float*, int64_t, int64_t, int64_t, int64_t) const;
template void SampleOps::erase<double>(double*, int64_t, int64_t, int64_t, int64_t) const;

}  // namespace ptmz
