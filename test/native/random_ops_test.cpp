// Operations on images of every small size, and tokens of files: within their memory, and refused where they cannot be.
#include "solvers/random_ops.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "check.h"
#include "ir/error.h"
#include "solvers/token_file.h"

namespace ptmz {
namespace {

RandomOps everything() {
  RandomOps ops;
  for (Range& factor : ops.jitter.factors) factor = {0, 3};
  ops.jitter.hue = {-0.5, 0.5};
  ops.rand_augment = {4, 30, 31};
  ops.erasing.probability = 1;
  return ops;
}

TEST(operations_stay_within_images_of_any_size) {
  for (int64_t channels : {1, 3}) {
    const RandomOps ops = everything();
    const std::vector<double> fill(channels, -1);
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {1, 7}, {2, 2}, {3, 3}, {5, 1}, {17, 16}}) {
      const int64_t size = channels * height * width;
      for (uint32_t epoch = 0; epoch < 60; ++epoch) {
        // Of exactly the size, so that a sanitizer sees a step beyond it.
        std::vector<uint8_t> pixels(size);
        std::vector<float> x(size);
        for (int64_t i = 0; i < size; ++i) pixels[i] = static_cast<uint8_t>(i * 37);
        const ByteImage image{pixels.data(), static_cast<int32_t>(channels), static_cast<int32_t>(height),
                              static_cast<int32_t>(width)};
        SampleOps draws(ops, fill, 7, epoch);
        draws.recolour(image, epoch);
        draws.erase(x.data(), channels, height, width, epoch);
        for (float value : x) CHECK(value == 0 || value == -1);
      }
    }
  }
}

TEST(neutral_factors_leave_an_image_as_it_is) {
  std::vector<uint8_t> pixels(3 * 20);
  for (int i = 0; i < 60; ++i) pixels[i] = static_cast<uint8_t>(i * 4);
  const std::vector<uint8_t> before = pixels;
  const ByteImage image{pixels.data(), 3, 4, 5};
  std::vector<uint8_t> copy(60), table(3 * 256);
  std::vector<int32_t> histogram(3 * 256);
  const ImageRoom room{copy.data(), histogram.data(), table.data()};
  const OneThread alone;
  adjust_brightness(alone, image, room, 1);
  adjust_contrast(alone, image, room, 1);
  adjust_saturation(alone, image, 1);
  adjust_sharpness(alone, image, room, 1);
  posterize(alone, image, 8);
  solarize(alone, image, 256);
  shear_x(alone, image, room, 0);
  shear_y(alone, image, room, 0);
  translate(alone, image, room, 0, 0);
  rotate(alone, image, room, 0);
  CHECK(pixels == before);
}

TEST(operations_are_refused_where_there_are_no_such_colours) {
  CHECK(check::code_of([] { check_random_ops(everything(), {0, 0, 0}, 3, true); }) == "none");
  CHECK(check::code_of([] { check_random_ops(everything(), {0, 0, 0}, 3, false); }) == "INVALID_ARGUMENT");
  CHECK(check::code_of([] { check_random_ops(everything(), {0, 0}, 2, true); }) == "INVALID_ARGUMENT");
  CHECK(check::code_of([] { check_random_ops(everything(), {0}, 3, true); }) == "INVALID_ARGUMENT");
  RandomOps ops;
  ops.rand_augment = {1, 31, 31};
  CHECK(check::code_of([&] { check_random_ops(ops, {}, 3, true); }) == "INVALID_ARGUMENT");
}

TEST(token_files_are_read_at_places_and_checked) {
  const std::string path = "/tmp/ptmz-tokens-" + std::to_string(getpid());
  CHECK(check::code_of([&] { TokenFile("/nowhere/train.bin", 10); }) == "IO_ERROR");
  CHECK(check::code_of([&] { TokenFile("/tmp", 10); }) == "IO_ERROR");
  const char bytes[] = {1, 0, 2, 0, 0, 1, 3, 0};
  std::ofstream(path, std::ios::binary).write(bytes, sizeof bytes);
  const TokenFile file(path, 257), narrow(path, 256);
  int32_t tokens[3] = {};
  file.read(1, 3, tokens);
  CHECK(file.count() == 4);
  CHECK(tokens[0] == 2 && tokens[1] == 256 && tokens[2] == 3);
  CHECK(check::code_of([&] { narrow.read(1, 3, tokens); }) == "INDEX_OUT_OF_RANGE");
  std::ofstream(path, std::ios::binary | std::ios::trunc).write(bytes, 2);
  CHECK(check::code_of([&] { file.read(1, 3, tokens); }) == "IO_ERROR");
  std::remove(path.c_str());
}

}  // namespace
}  // namespace ptmz
