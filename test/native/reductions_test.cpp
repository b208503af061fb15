// reduce_sum, reduce_max and argmax against plain loops.
#include <limits>

#include "plain_program.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

// A reduction of `shape` whose first `kept` axes stay.
template <typename T>
struct Reduction {
  KernelCase test;
  Shape shape;
  int64_t outputs, reduced;
  std::vector<T> out;

  Reduction(LaunchCode code, const Shape& all, int kept, bool column) : test(code, all, kept), shape(all) {
    const Shape kept_shape(all.begin(), all.begin() + kept);
    outputs = element_count(kept_shape);
    reduced = element_count(all) / outputs;
    out.resize(outputs);
    Strides strides = dense(kept_shape);
    strides.resize(all.size());
    test.add(out, strides);
    test.launch.column = column;
  }
};

template <typename T>
void check_reduction(LaunchCode code, const Shape& shape, int kept, bool column) {
  Reduction<T> r(code, shape, kept, column);
  RandomInputs<T> data(r.test, shape, static_cast<int>(pick(1, 3)));
  random_program(r.test);
  std::vector<double> expected(r.outputs), size(r.outputs);
  for (int64_t o = 0; o < r.outputs; ++o) {
    double sum = 0, largest = -HUGE_VAL;
    for (int64_t k = 0; k < r.reduced; ++k) {
      const double value = plain_program<T>(r.test, o * r.reduced + k, shape);
      sum += value;
      // The terms that a random program adds are about 1, and their rounding stays where they cancel.
      size[o] += std::max(1.0, std::fabs(value));
      largest = std::max(largest, value);
    }
    expected[o] = code == LaunchCode::reduce_sum ? sum : largest;
    if (code == LaunchCode::reduce_max) size[o] = std::max(1.0, std::fabs(largest));
  }
  for (const cpu::KernelTable& table : tables()) {
    r.test.template run<T>(table);
    bool good = true;
    for (int64_t o = 0; o < r.outputs; ++o)
      good = good && std::fabs(r.out[o] - expected[o]) <= 20 * tolerance<T>() * size[o];
    CHECK(good);
    const std::vector<T> whole = r.out;
    std::fill(r.out.begin(), r.out.end(), T(-7));
    r.test.template run<T>(table, true);
    CHECK(same_bits(r.out, whole));
  }
}

// A contiguous (outputs, reduced) matrix, read along its rows or, transposed, down its columns.
template <typename T>
std::vector<T> reduce(const cpu::KernelTable& table, LaunchCode code, std::vector<T> x, int64_t outputs,
                      int64_t reduced, bool column) {
  Reduction<T> r(code, {outputs, reduced}, 1, column);
  r.test.add(x, column ? Strides{1, outputs} : Strides{reduced, 1});
  r.test.template run<T>(table);
  return r.out;
}

}  // namespace

TEST(reductions_of_random_programs) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (LaunchCode code : {LaunchCode::reduce_sum, LaunchCode::reduce_max})
      for (bool column : {false, true}) {
        for (int round = 0; round < rounds(80); ++round) {
          const int rank = round % 6;
          check_reduction<T>(code, random_shape(rank, 7), static_cast<int>(pick(0, rank)), column);
        }
        for (int64_t outputs : {1, 3, 8, 100, 200, 300, 512, 513, 1300})
          for (int64_t reduced : {1, 3, 16, 100, 257, 600, 1000})
            if (outputs * reduced < 300000 && affordable(outputs * reduced))
              check_reduction<T>(code, {outputs, reduced}, 1, column);
        check_reduction<T>(code, {40, 7, 5, 30}, 2, column);
        for (const Shape& shape : {Shape{8, 16, 20, 20}, {40000, 2}})
          if (affordable(element_count(shape))) check_reduction<T>(code, shape, 1, column);
      }
  });
}

TEST(sums_are_accurate_far_from_zero) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (const cpu::KernelTable& table : tables())
      for (bool column : {false, true})
        for (int64_t outputs : {1, 5, 300})
          for (int64_t reduced : {1000, 100000}) {
            if (outputs * reduced > 1000000) continue;
            std::vector<T> x = random_reals<T>(outputs * reduced, 1000, 1001);
            const std::vector<T> sums = reduce(table, LaunchCode::reduce_sum, x, outputs, reduced, column);
            for (int64_t o = 0; o < outputs; ++o) {
              long double exact = 0;
              for (int64_t r = 0; r < reduced; ++r) exact += x[column ? r * outputs + o : o * reduced + r];
              const double relative = std::fabs(static_cast<double>((sums[o] - exact) / exact));
              CHECK(relative < (sizeof(T) == 4 ? 1.2e-7 : 3e-16));
            }
          }
  });
}

TEST(sums_of_infinities_are_infinite) {
  for_reals([](auto t) {
    using T = decltype(t);
    const T inf = std::numeric_limits<T>::infinity();
    for (const cpu::KernelTable& table : tables())
      for (bool column : {false, true}) {
        std::vector<T> x(2000, T(1));
        x[700] = inf;
        CHECK(reduce(table, LaunchCode::reduce_sum, x, 1, 2000, column)[0] == inf);
        x[1500] = -inf;
        CHECK(std::isnan(reduce(table, LaunchCode::reduce_sum, x, 1, 2000, column)[0]));
      }
  });
}

TEST(maxima_let_nan_win) {
  for_reals([](auto t) {
    using T = decltype(t);
    const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
    for (const cpu::KernelTable& table : tables())
      for (bool column : {false, true})
        for (int64_t reduced : {1, 3, 40, 1000}) {
          std::vector<T> x = random_reals<T>(4 * reduced);
          const auto at = [&](int64_t o, int64_t r) -> T& { return x[column ? r * 4 + o : o * reduced + r]; };
          at(1, pick(0, reduced - 1)) = nan;
          for (int64_t r = 0; r < reduced; ++r) at(2, r) = -inf;
          at(3, pick(0, reduced - 1)) = inf;
          const std::vector<T> best = reduce(table, LaunchCode::reduce_max, x, 4, reduced, column);
          CHECK(best[0] < inf && std::isnan(best[1]) && best[2] == -inf && best[3] == inf);
        }
  });
}

TEST(argmax_takes_the_first) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (const cpu::KernelTable& table : tables())
      for (int round = 0; round < 60; ++round) {
        Shape shape = random_shape(round % 4, 9);
        shape.push_back(round % 5 == 0 ? 1000 : pick(1, 12));
        const Strides strides = random_strides(shape);
        std::vector<T> x(extent(shape, strides));
        for (T& value : x) value = pick(0, 60) == 0 ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(pick(-3, 3));
        const int64_t reduced = shape.back(), outputs = element_count(shape) / reduced;
        std::vector<int32_t> out(outputs, -1);
        KernelCase test(LaunchCode::argmax, shape, static_cast<int>(shape.size()) - 1);
        test.add(out, dense(Shape(shape.begin(), shape.end() - 1)));
        test.add(x, strides);
        test.run<T>(table, true);
        for (int64_t o = 0; o < outputs; ++o) {
          int64_t best = 0;
          const auto at = [&](int64_t r) { return x[offset_of(o * reduced + r, shape, strides)]; };
          for (int64_t r = 1; r < reduced; ++r)
            if (!std::isnan(at(best)) && (at(r) > at(best) || std::isnan(at(r)))) best = r;
          CHECK(out[o] == best);
        }
      }
  });
}
