// Dataset: samples and labels in memory, or tokens of a file, the order in which a member sees them, and their way into
// a batch.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "runtime/vector.h"
#include "solvers/augment.h"
#include "solvers/random_ops.h"
#include "solvers/token_file.h"

namespace ptmz {

// resident (N,C,H,W) as uint8 or float32, labels (N) int32, of which the first `count` are used. A batch holds (value *
// scale - mean[c]) / deviation[c], where scale is 1/255 for uint8 and 1 for float32.
//
// With window > 0 it is text instead: samples (N) int32, or those of a file, are tokens and labels are null. Sample i
// is `window` tokens from i * stride on, its labels are those one further.
//
// Without both it is nothing that is loaded: the program holds its own points, and an epoch is a number of steps.
struct Dataset {
  const Vector* resident = nullptr;  // samples in memory
  const Vector* labels = nullptr;
  int64_t count = 0, channels = 1, plane = 1;       // plane = H * W
  std::vector<double> mean, deviation;              // one per channel
  int64_t window = 0, stride = 1;                   // of tokens
  std::shared_ptr<const TokenFile> file = nullptr;  // of tokens, where they are not resident
  RandomOps ops = {};                               // of images, where AugmentOptions::ops says so
  std::vector<double> fill = {};                    // what erasing leaves, one value per channel
  bool loads() const { return resident || file; }
  int64_t sample_size() const { return window > 0 ? window : channels * plane; }
  int64_t labels_per_sample() const { return window > 0 ? window : 1; }
};
// Throws INVALID_ARGUMENT where sizes or dtypes do not fit; INDEX_OUT_OF_RANGE for a label or token outside
// [0, classes).
void check_layout(const Dataset& data);
void check_labels(const Dataset& data, const char* name, int64_t classes);

// The normalisation of a dataset as a table: what each byte of each channel becomes. Empty for float32 samples.
class Normaliser {
 public:
  explicit Normaliser(const Dataset& data);
  // (channels, 256)
  template <typename T>
  const std::vector<T>& table() const {
    if constexpr (std::is_same_v<T, float>)
      return table32_;
    else
      return table64_;
  }
  // Fills `count` rows of sample_size() with the samples at `order`, or with those from `first` on if order is null,
  // augmented unless that is null.
  template <typename T>
  void gather(const int32_t* order, int64_t first, int64_t count, T* out,
              const Augmentation* augmentation = nullptr) const;

 private:
  void recoloured(SampleOps& ops, const AugmentOptions& options, int64_t sample, const int32_t* source,
                  std::vector<uint8_t>& out) const;
  const Dataset& data_;
  std::vector<float> table32_;  // channels x 256
  std::vector<double> table64_;
};

// The order of `count` samples in one epoch: Fisher-Yates driven by Philox, so a function of (seed, epoch) alone.
void shuffle(uint64_t seed, uint32_t epoch, int64_t count, std::vector<int32_t>& order);

}  // namespace ptmz
