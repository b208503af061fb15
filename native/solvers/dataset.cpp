// Gathering, normalising and shuffling of resident samples.
#include "solvers/dataset.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "backend/shared/order.h"
#include "ir/error.h"

namespace ptmz {

void check_layout(const Dataset& data) {
  const auto fail = [](const std::string& what) { throw Error("INVALID_ARGUMENT", "data: " + what); };
  if (data.count < 1) fail("expected at least one sample");
  if (data.count > INT32_MAX) fail("expected at most 2^31 - 1 samples");
  if (!data.loads() && !data.labels) return;
  if (data.window > 0) {
    if (data.labels || !data.file == !data.resident || (data.resident && data.resident->dtype() != DType::i32))
      fail("text is int32 tokens or a file, no labels");
    const int64_t tokens = data.file ? data.file->count() : data.resident->size();
    if (data.stride < 1 || tokens <= (data.count - 1) * data.stride + data.window)
      fail("there are fewer tokens than the samples need");
    return;
  }
  if (!data.resident || !data.labels || data.file) fail("expected samples and labels");
  if (data.resident->dtype() != DType::u8 && data.resident->dtype() != DType::f32)
    fail("samples must be uint8 or float32");
  if (data.labels->dtype() != DType::i32) fail("labels must be int32");
  if (data.resident->size() / data.sample_size() < data.count) fail("there are fewer samples than were asked for");
  if (data.labels->size() < data.count) fail("expected one label per sample");
  if (static_cast<int64_t>(data.mean.size()) != data.channels ||
      static_cast<int64_t>(data.deviation.size()) != data.channels) {
    fail("expected one mean and one deviation per channel");
  }
  if (data.ops.any()) check_random_ops(data.ops, data.fill, data.channels, data.resident->dtype() == DType::u8);
}

void check_labels(const Dataset& data, const char* name, int64_t classes) {
  check_layout(data);
  if (!data.resident) return;  // a file's tokens are checked as they are read
  const bool text = data.window > 0;
  const int32_t* labels = (text ? data.resident : data.labels)->as<int32_t>();
  const int64_t count = text ? (data.count - 1) * data.stride + data.window + 1 : data.count;
  for (int64_t i = 0; i < count; ++i) {
    if (labels[i] >= 0 && labels[i] < classes) continue;
    const std::string what = text ? "token " : "label ", where = text ? " at " : " of sample ";
    throw Error("INDEX_OUT_OF_RANGE", std::string(name) + ": " + what + std::to_string(labels[i]) + where +
                                          std::to_string(i) + " is not in 0.." + std::to_string(classes - 1));
  }
}

Normaliser::Normaliser(const Dataset& data) : data_(data) {
  check_layout(data);
  if (!data.resident || data.resident->dtype() != DType::u8) return;
  for (int64_t c = 0; c < data.channels; ++c) {
    for (int byte = 0; byte < 256; ++byte) {
      table64_.push_back((byte / 255.0 - data.mean[c]) / data.deviation[c]);
      table32_.push_back(static_cast<float>(table64_.back()));
    }
  }
}

namespace {

// One channel of a sample: value(pixel) of every pixel, or of those that `source` names. `framed` has plane + 1 places.
template <typename T, typename In, typename Value>
void fill_plane(const In* in, const int32_t* source, int64_t plane, In* framed, T* out, const Value& value) {
  if (!source) {
    for (int64_t k = 0; k < plane; ++k) out[k] = value(in[k]);
    return;
  }
  framed[0] = 0;  // what lies outside; before the pixels, so that there is no branch
  std::copy(in, in + plane, framed + 1);
  for (int64_t k = 0; k < plane; ++k) out[k] = value(framed[source[k]]);
}

}  // namespace

// The bytes (C,H,W) of a sample as `source` moves its pixels, their colours changed.
void Normaliser::recoloured(SampleOps& ops, const AugmentOptions& options, int64_t sample, const int32_t* source,
                            std::vector<uint8_t>& out) const {
  out.resize(data_.sample_size());
  std::vector<uint8_t> framed(data_.plane + 1);
  for (int64_t c = 0; c < data_.channels; ++c)
    fill_plane(data_.resident->as<uint8_t>() + sample * data_.sample_size() + c * data_.plane, source, data_.plane,
               framed.data(), out.data() + c * data_.plane, [](uint8_t byte) { return byte; });
  ops.recolour({out.data(), static_cast<int32_t>(data_.channels), static_cast<int32_t>(options.height),
                static_cast<int32_t>(options.width)},
               sample);
}

template <typename T>
void Normaliser::gather(const int32_t* order, int64_t first, int64_t count, T* out,
                        const Augmentation* augmentation) const {
  const std::vector<T>& table = this->table<T>();
  std::vector<int32_t> pixels(augmentation ? data_.plane : 0);
  std::vector<uint8_t> bytes(augmentation ? data_.plane + 1 : 0);
  std::vector<float> floats(augmentation ? data_.plane + 1 : 0);
  std::vector<uint8_t> coloured;
  std::optional<SampleOps> ops;
  if (augmentation && augmentation->options.ops)
    ops.emplace(data_.ops, data_.fill, augmentation->seed, augmentation->epoch);
  const int32_t* source = augmentation ? pixels.data() : nullptr;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t sample = order ? order[first + i] : first + i;
    if (augmentation) augmentation->pixels(sample, pixels.data());
    const bool colours = ops && ops->colours();
    if (colours) recoloured(*ops, augmentation->options, sample, source, coloured);
    T* const first_channel = out;
    for (int64_t c = 0; c < data_.channels; ++c, out += data_.plane) {
      const int64_t from = sample * data_.sample_size() + c * data_.plane;
      if (!table.empty()) {
        const T* values = table.data() + 256 * c;
        const auto value = [values](uint8_t byte) { return values[byte]; };
        if (colours) {
          fill_plane(coloured.data() + c * data_.plane, nullptr, data_.plane, bytes.data(), out, value);
        } else {
          fill_plane(data_.resident->as<uint8_t>() + from, source, data_.plane, bytes.data(), out, value);
        }
      } else {
        const double mean = data_.mean[c], deviation = data_.deviation[c];
        fill_plane(data_.resident->as<float>() + from, source, data_.plane, floats.data(), out,
                   [=](float x) { return static_cast<T>((x - mean) / deviation); });
      }
    }
    const AugmentOptions* image = ops ? &augmentation->options : nullptr;
    if (image) ops->erase(first_channel, data_.channels, image->height, image->width, sample);
  }
}
template void Normaliser::gather<float>(const int32_t*, int64_t, int64_t, float*, const Augmentation*) const;
template void Normaliser::gather<double>(const int32_t*, int64_t, int64_t, double*, const Augmentation*) const;

void shuffle(uint64_t seed, uint32_t epoch, int64_t count, std::vector<int32_t>& order) {
  order.resize(count);
  std::iota(order.begin(), order.end(), 0);
  const RandomKey key = order_key(seed, epoch);
  for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[order_target(key, i)]);
}

}  // namespace ptmz
