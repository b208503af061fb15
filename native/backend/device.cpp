// The choice of a backend by name.
#include "backend/device.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "backend/cuda/device.h"
#include "ir/error.h"

namespace ptmz {

void Device::run(const Launch& launch, const Instr*, DType, void* const*, int64_t, int64_t, void*, KernelFault&) const {
  throw Error("INTERNAL", std::string(ptmz::name(launch.code)) + ": this device runs launches through its streams");
}

namespace {

// None: until kernels on tensor cores gather such images by themselves, they only cost copies of weights
// (docs/cuda.md).
constexpr int64_t kChannelsLastFrom = std::numeric_limits<int64_t>::max();

int64_t channels_last_at_first() { return environment_number("PTMZ_CUDA_CHANNELS_LAST", 1, kChannelsLastFrom); }

int64_t& channels_last_now() {
  static int64_t now = channels_last_at_first();
  return now;
}

}  // namespace

int64_t channels_last_from() { return channels_last_now(); }

void use_channels_last_from(int64_t channels) {
  channels_last_now() = channels == 0 ? channels_last_at_first() : channels;
}

ImageOrder Device::image_order(int64_t channels) const {
  return channels < channels_last_from() ? ImageOrder::channels_outermost : ImageOrder::channels_last;
}

bool environment_flag(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' && *value != '0';
}

int64_t environment_number(const char* name, int64_t least, int64_t otherwise) {
  const char* const text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  const char* const end = text + std::strlen(text);
  int64_t number = 0;
  const auto [rest, error] = std::from_chars(text, end, number);
  if (error != std::errc() || rest != end || number < least)
    throw Error("INVALID_ARGUMENT", std::string(name) + ": expected a whole number of at least " +
                                        std::to_string(least) + ", got '" + text + "'");
  return number;
}

std::vector<DeviceDescription> describe_devices() { return cuda::describe(); }

const Backend& backend_of(const std::string& device) {
  if (device == "cpu") return cpu_backend();
  const std::string prefix = "cuda";
  if (device.compare(0, prefix.size(), prefix) == 0) {
    channels_last_from();  // what the environment says wrongly is refused here
    const std::string rest = device.substr(prefix.size());
    if (rest.empty()) return cuda::open_device(0);
    const bool number = rest.size() >= 2 && rest.size() <= 4 && rest[0] == ':' &&
                        rest.find_first_not_of("0123456789", 1) == std::string::npos;
    if (number) return cuda::open_device(std::stoi(rest.substr(1)));
  }
  throw Error("INVALID_ARGUMENT", "device: expected 'cpu', 'cuda' or 'cuda:N', got '" + device + "'");
}

}  // namespace ptmz
