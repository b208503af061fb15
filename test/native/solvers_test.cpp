// Solvers without programs: order and loading of samples, the optimiser's check and update, minima of known functions.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "check.h"
#include "ir/error.h"
#include "solvers/dataset.h"
#include "solvers/lbfgs.h"
#include "solvers/optimiser.h"

namespace ptmz {
namespace {

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
  CHECK(check::code_of([&] { check_labels(s.data, "data", 3); }) == "none");
  CHECK(check::code_of([&] { check_labels(s.data, "data", 2); }) == "INDEX_OUT_OF_RANGE");
  s.data.count = 4;
  CHECK(check::code_of([&] { check_layout(s.data); }) == "INVALID_ARGUMENT");
  s.data.count = 3;
  s.data.mean.pop_back();
  CHECK(check::code_of([&] { Normaliser normaliser(s.data); }) == "INVALID_ARGUMENT");
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
    return check::code_of([&] { Optimiser({kind}, params, velocity, second, {{0, end, true}}); });
  };
  CHECK(code(OptimiserKind::sgd, nullptr, kSize + 1) == "INVALID_ARGUMENT");
  CHECK(code(OptimiserKind::adamw, nullptr, kSize) == "INVALID_ARGUMENT");
  CHECK(code(OptimiserKind::sgd, &velocity, kSize) == "INVALID_ARGUMENT");
  CHECK(code(OptimiserKind::adamw, &params, kSize) == "none");
}

// Three members, each with a function of its own: Rosenbrock's with its minimum at (1, 1), a long valley with its
// minimum at (2, -3), and one that turns undefined.
template <typename T>
void check_lbfgs(DType real, double tolerance) {
  Vector params(real, 3, 2), gradient(real, 3, 2), pairs(real, 3, 2 * 5 * 2), scalars(DType::f64, 3, kLbfgsColumns + 5),
      slopes(real, 3, 2);
  const double starts[3][2] = {{-1.2, 1}, {-4, 7}, {0.5, 0.5}};
  for (int64_t m = 0; m < 3; ++m)
    for (int i = 0; i < 2; ++i) params.as<T>(m)[i] = static_cast<T>(starts[m][i]);
  Lbfgs lbfgs({5, 0, 0, 25}, {&params, &gradient, &pairs, &scalars});
  int64_t evaluated = 0;
  const auto evaluate = [&](const std::vector<int64_t>& members, Vector& points, std::vector<double>& losses,
                            const Vector*& gradients) {
    for (size_t r = 0; r < members.size(); ++r) {
      const double x = static_cast<double>(points.as<T>(r)[0]), y = static_cast<double>(points.as<T>(r)[1]);
      T* g = slopes.as<T>(r);
      if (members[r] == 0) {
        ++evaluated;
        losses[r] = (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x);
        g[0] = static_cast<T>(-2 * (1 - x) - 400 * x * (y - x * x));
        g[1] = static_cast<T>(200 * (y - x * x));
      } else if (members[r] == 1) {
        losses[r] = (x - 2) * (x - 2) + 50 * (y + 3) * (y + 3);
        g[0] = static_cast<T>(2 * (x - 2));
        g[1] = static_cast<T>(100 * (y + 3));
      } else {
        losses[r] = std::numeric_limits<double>::quiet_NaN();
        g[0] = g[1] = 1;
      }
    }
    gradients = &slopes;
  };
  std::vector<int64_t> moving{0, 1, 2};
  for (int step = 0; step < 100 && !moving.empty(); ++step) {
    const std::vector<int64_t> failed = lbfgs.iterate(moving, {1, 1, 1}, 1, evaluate);
    CHECK(failed == (step == 0 ? std::vector<int64_t>{2} : std::vector<int64_t>{}));
    std::erase_if(moving, [&](int64_t m) { return m == 2 || lbfgs.done(m); });
    if (real == DType::f64 && step == 24) {  // where torch.optim.LBFGS is after 25 iterations
      CHECK(evaluated == 34);
      CHECK(std::fabs(static_cast<double>(params.as<T>(0)[0]) - 0.8410238638777021) < 1e-9);
    }
  }
  CHECK(std::fabs(static_cast<double>(params.as<T>(0)[0]) - 1) < tolerance);
  CHECK(std::fabs(static_cast<double>(params.as<T>(0)[1]) - 1) < tolerance);
  CHECK(std::fabs(static_cast<double>(params.as<T>(1)[0]) - 2) < tolerance);
  CHECK(std::fabs(static_cast<double>(params.as<T>(1)[1]) + 3) < tolerance);
  CHECK(params.as<T>(2)[0] == static_cast<T>(0.5) && params.as<T>(2)[1] == static_cast<T>(0.5));
  CHECK(lbfgs.scalar(0, kLbfgsEvaluations) == static_cast<double>(evaluated));
  // Without tolerances the last searches of float32 are among rounding errors.
  CHECK(evaluated < (real == DType::f64 ? 60 : 200));
}

// Nocedal's two loops on vectors, over the last `history` pairs.
std::vector<double> two_loops(const std::vector<std::vector<double>>& s, const std::vector<std::vector<double>>& y,
                              const std::vector<double>& gradient) {
  const auto inner = [](const auto& a, const auto& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  const auto add = [](std::vector<double>& a, double factor, const std::vector<double>& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += factor * b[i];
  };
  std::vector<double> q(gradient), alpha(s.size());
  for (double& x : q) x = -x;
  for (size_t i = s.size(); i-- > 0;) add(q, -(alpha[i] = inner(s[i], q) / inner(s[i], y[i])), y[i]);
  for (double& x : q) x *= inner(s.back(), y.back()) / inner(y.back(), y.back());
  for (size_t i = 0; i < s.size(); ++i) add(q, alpha[i] - inner(y[i], q) / inner(s[i], y[i]), s[i]);
  return q;
}

template <typename T>
void check_pairs(double tolerance) {
  constexpr int64_t n = 37, history = 5;
  std::vector<T> base(2 * history * n), out(n), again(n), direction(n), before(n), after(n);
  std::vector<double> scalars(kLbfgsColumns + history);
  scalars[kLbfgsScale] = 1;
  PairProducts known;
  std::vector<std::vector<double>> s, y;
  for (int step = 0; step < 13; ++step) {
    std::vector<double> gradient(n);
    for (int64_t i = 0; i < n; ++i) {
      direction[i] = static_cast<T>(std::sin(1.7 * static_cast<double>(i * (step + 1))));
      before[i] = static_cast<T>(std::cos(0.3 * static_cast<double>(i + step)));
      // Curvature along the step, except once: that pair is left out.
      const double bend = (step == 7 ? -1 : 1) * (1 + 0.5 * std::cos(static_cast<double>(i)));
      after[i] = before[i] + static_cast<T>(0.5 * bend) * direction[i];
      gradient[i] = static_cast<double>(after[i]);
    }
    LbfgsPairs<T> pairs(base.data(), scalars.data(), n, history, known);
    pairs.add(0.5, direction.data(), before.data(), after.data());
    if (step != 7) {
      s.emplace_back(), y.emplace_back();
      for (int64_t i = 0; i < n; ++i) {
        s.back().push_back(static_cast<double>(static_cast<T>(0.5) * direction[i]));
        y.back().push_back(static_cast<double>(after[i] - before[i]));
      }
      if (s.size() > history) s.erase(s.begin()), y.erase(y.begin());
    }
    CHECK(static_cast<size_t>(scalars[kLbfgsPairs]) == s.size());
    pairs.direction(after.data(), out.data());
    const std::vector<double> expected = two_loops(s, y, gradient);
    for (int64_t i = 0; i < n; ++i) CHECK(std::fabs(static_cast<double>(out[i]) - expected[i]) < tolerance);
    // What is found from the pairs alone, as after a checkpoint, is the same to the last bit.
    PairProducts nothing;
    LbfgsPairs<T>(base.data(), scalars.data(), n, history, nothing).direction(after.data(), again.data());
    CHECK(again == out);
  }
}

TEST(lbfgs_directions_are_those_of_the_two_loops) {
  check_pairs<double>(1e-12);
  check_pairs<float>(1e-4);
}

TEST(lbfgs_finds_known_minima) {
  check_lbfgs<double>(DType::f64, 1e-7);
  check_lbfgs<float>(DType::f32, 2e-3);
}

}  // namespace
}  // namespace ptmz
