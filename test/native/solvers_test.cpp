// Solvers without programs: order and loading of samples, the optimiser's check and update.
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "check.h"
#include "ir/error.h"
#include "solvers/dataset.h"
#include "solvers/optimiser.h"

namespace ptmz {
namespace {

template <typename Call>
std::string code_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return "none";
}

struct Samples {
  Vector images{DType::u8, 1, 3 * 2 * 2}, labels{DType::i32, 1, 3};
  Dataset data{&images, &labels, 3, 2, 2, {0.5, 0.25}, {0.5, 2}};
  Samples() {
    for (int i = 0; i < 12; ++i) images.as<uint8_t>()[i] = static_cast<uint8_t>(20 * i);
    for (int i = 0; i < 3; ++i) labels.as<int32_t>()[i] = i;
  }
};

TEST(shuffle_is_a_permutation_of_seed_and_epoch) {
  for (int64_t count : {1, 2, 7, 1000}) {
    std::vector<int32_t> a, b;
    shuffle(3, 5, count, a);
    shuffle(3, 5, count, b);
    CHECK(a == b);
    CHECK(static_cast<int64_t>(std::set<int32_t>(a.begin(), a.end()).size()) == count);
    CHECK(*std::min_element(a.begin(), a.end()) == 0 && *std::max_element(a.begin(), a.end()) == count - 1);
    if (count < 1000) continue;
    shuffle(3, 6, count, b);
    CHECK(a != b);
    shuffle(uint64_t{3} << 32, 5, count, b);
    CHECK(a != b);
  }
}

TEST(shuffle_puts_every_sample_everywhere) {
  int counts[4][4] = {};
  std::vector<int32_t> order;
  for (uint32_t epoch = 0; epoch < 4000; ++epoch) {
    shuffle(1, epoch, 4, order);
    for (int i = 0; i < 4; ++i) ++counts[i][order[i]];
  }
  // Binomial with mean 1000 and deviation 27.
  for (const auto& row : counts)
    for (int n : row) CHECK(std::abs(n - 1000) < 140);
}

TEST(gather_normalises_by_channel) {
  const Samples s;
  const Normaliser normaliser(s.data);
  const int32_t order[] = {2, 0};
  float out[8];
  normaliser.gather(order, 0, 2, out);
  CHECK_CLOSE(out[0], (160 / 255.0 - 0.5) / 0.5, 1e-6);
  CHECK_CLOSE(out[3], (220 / 255.0 - 0.25) / 2, 1e-6);
  CHECK_CLOSE(out[4], -1, 1e-6);
  double whole[4];
  normaliser.gather(nullptr, 1, 1, whole);
  CHECK_CLOSE(whole[2], (120 / 255.0 - 0.25) / 2, 1e-15);
}

TEST(datasets_are_checked) {
  Samples s;
  CHECK(code_of([&] { check_labels(s.data, "data", 3); }) == "none");
  CHECK(code_of([&] { check_labels(s.data, "data", 2); }) == "INDEX_OUT_OF_RANGE");
  s.data.count = 4;
  CHECK(code_of([&] { check_layout(s.data); }) == "INVALID_ARGUMENT");
  s.data.count = 3;
  s.data.mean.pop_back();
  CHECK(code_of([&] { Normaliser normaliser(s.data); }) == "INVALID_ARGUMENT");
}

TEST(sgd_leaves_padding_and_members_that_diverge) {
  constexpr int64_t kSize = 70000;  // more than one block
  Vector params(DType::f32, 3, kSize), velocity(DType::f32, 3, kSize), grad(DType::f32, 3, kSize);
  for (int64_t m = 0; m < 3; ++m) std::fill_n(params.as<float>(m), kSize, 1.0f);
  for (int64_t m = 0; m < 3; ++m) std::fill_n(grad.as<float>(m), kSize, 2.0f);
  grad.as<float>(1)[69000] = std::numeric_limits<float>::quiet_NaN();
  grad.as<float>(2)[40000] = 3e38f;  // finite, but the step is not
  Optimiser sgd({}, params, velocity, nullptr, {{0, 10, true}, {64, kSize, false}});
  const std::vector<OptimiserStep> steps(3, {10.0, 0.5, 0.1, 1});
  std::vector<char> alive(3, 1);
  sgd.check(grad, steps, 2, alive);
  CHECK(alive[0] && !alive[1] && !alive[2]);
  sgd.apply(grad, steps, 2, alive);
  CHECK_CLOSE(params.as<float>(0)[5], 1 - 10 * 2.1, 1e-5);
  CHECK_CLOSE(params.as<float>(0)[69000], -19, 1e-5);
  CHECK(params.as<float>(0)[10] == 1 && params.as<float>(0)[63] == 1);
  CHECK(params.as<float>(1)[0] == 1 && velocity.as<float>(1)[0] == 0 && params.as<float>(2)[0] == 1);
  const auto code = [&](OptimiserKind kind, Vector* second, int64_t end) {
    return code_of([&] { Optimiser({kind}, params, velocity, second, {{0, end, true}}); });
  };
  CHECK(code(OptimiserKind::sgd, nullptr, kSize + 1) == "INVALID_ARGUMENT");
  CHECK(code(OptimiserKind::adamw, nullptr, kSize) == "INVALID_ARGUMENT");
  CHECK(code(OptimiserKind::sgd, &velocity, kSize) == "INVALID_ARGUMENT");
  CHECK(code(OptimiserKind::adamw, &params, kSize) == "none");
}

}  // namespace
}  // namespace ptmz
