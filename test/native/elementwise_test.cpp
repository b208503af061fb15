// map, copy_index, iota and random against plain loops.
#include <limits>

#include "backend/shared/philox.h"
#include "plain_program.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

// One operator on columns of values, contiguous.
template <typename T>
std::vector<T> apply(const cpu::KernelTable& table, Op op, std::vector<T> a, std::vector<T> b, std::vector<T> c,
                     double value, Comparison comparison = Comparison::lt) {
  const int64_t n = static_cast<int64_t>(a.size());
  std::vector<T> out(n);
  KernelCase test(LaunchCode::map, {n});
  for (std::vector<T>* data : {&out, &a, &b, &c}) test.add(*data, {1});
  test.instr(op, 0, 1, 2, value, comparison);
  test.run<T>(table);
  return out;
}

template <typename T>
void check_map(const Shape& shape, int inputs) {
  const int64_t count = element_count(shape);
  const Strides out_strides = random_strides(shape, false);
  std::vector<T> out(extent(shape, out_strides), T(-7));
  KernelCase test(LaunchCode::map, shape);
  test.add(out, out_strides);
  RandomInputs<T> data(test, shape, inputs);
  random_program(test);
  std::vector<T> expected(out);
  for (int64_t i = 0; i < count; ++i) expected[offset_of(i, shape, out_strides)] = plain_program<T>(test, i, shape);
  for (const cpu::KernelTable& table : tables()) {
    test.run<T>(table);
    double worst = 0;  // untouched elements keep their -7
    for (size_t i = 0; i < out.size(); ++i)
      worst = std::max(worst,
                       std::fabs(double(out[i]) - double(expected[i])) / std::max(1.0, std::fabs(double(expected[i]))));
    CHECK(worst < 20 * tolerance<T>());
    const std::vector<T> whole = out;
    std::fill(out.begin(), out.end(), T(-7));
    test.run<T>(table, true);
    CHECK(same_bits(out, whole));
  }
}

// Largest error in units of the last place of the exact value.
template <typename F>
double worst_ulp(const cpu::KernelTable& table, Op op, double low, double high, F exact) {
  const std::vector<float> x = random_reals<float>(200000, low, high), y = apply(table, op, x, x, x, 0);
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double value = exact(double(x[i]));
    const double ulp = std::ldexp(1.0, std::max(std::ilogb(value), -126) - 23);
    worst = std::max(worst, std::fabs(y[i] - value) / ulp);
  }
  return worst;
}

}  // namespace

TEST(map_of_random_programs_over_strided_operands) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (int round = 0; round < rounds(250); ++round)
      check_map<T>(random_shape(round % 6, 9), static_cast<int>(pick(1, 4)));
    for (const Shape& shape :
         {Shape{70000}, {64, 8, 28, 28}, {3, 40000}, {9000, 4}, {2000, 3, 9}, {600, 64}, {17, 1000, 2}})
      for (int round = 0; affordable(element_count(shape)) && round < rounds(4); ++round)
        check_map<T>(shape, static_cast<int>(pick(1, 4)));
  });
}

TEST(map_in_place) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (const cpu::KernelTable& table : tables()) {
      std::vector<T> x = random_reals<T>(40000), y = random_reals<T>(40000), expected(x);
      for (size_t i = 0; i < x.size(); ++i) expected[i] = -(x[i] + y[i]) * x[i];
      KernelCase test(LaunchCode::map, {200, 200});
      test.add(x, {200, 1});
      test.add(x, {200, 1});
      test.add(y, {200, 1});
      test.instr(Op::mul, test.instr(Op::neg, test.instr(Op::add, 0, 1)), 0);
      test.run<T>(table, true);
      for (size_t i = 0; i < x.size(); ++i) CHECK(close(x[i], expected[i], tolerance<T>()));
    }
  });
}

TEST(map_operators_at_edges) {
  for_reals([](auto t) {
    using T = decltype(t);
    const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
    const std::vector<T> edges = {0,
                                  T(-0.0),
                                  1,
                                  -1,
                                  inf,
                                  -inf,
                                  nan,
                                  T(0.5),
                                  T(-0.3),
                                  3,
                                  100,
                                  -100,
                                  1000,
                                  -1000,
                                  T(1e-30),
                                  T(88.7),
                                  T(-87.5),
                                  T(0.625),
                                  T(-0.625),
                                  4,
                                  -5,
                                  std::numeric_limits<T>::max(),
                                  std::numeric_limits<T>::min(),
                                  std::numeric_limits<T>::denorm_min()};
    std::vector<T> a, b, c;
    for (T x : edges)
      for (T y : edges) {
        a.push_back(x);
        b.push_back(y);
        c.push_back(static_cast<T>(c.size()));
      }
    const Op ops[] = {Op::add,  Op::mul, Op::neg, Op::recip, Op::exp,    Op::log,  Op::sqrt,
                      Op::tanh, Op::sin, Op::cos, Op::erf,   Op::select, Op::cast, Op::stop_gradient};
    for (const cpu::KernelTable& table : tables()) {
      const auto check = [&](Op op, double value, Comparison comparison) {
        const std::vector<T> out = apply(table, op, a, b, c, value, comparison);
        const Instr instr{static_cast<uint8_t>(op), static_cast<uint8_t>(comparison), 3, 0, 1, 2, false, value};
        for (size_t i = 0; i < out.size(); ++i) CHECK(close(out[i], plain(instr, a[i], b[i], c[i]), tolerance<T>()));
      };
      for (Op op : ops) check(op, 0, Comparison::lt);
      for (int k = 0; k < 6; ++k) check(Op::compare, 0, static_cast<Comparison>(k));
      for (double e : {0.0, 1.0, 2.0, 3.0, -1.0, 1.5, 4.0, -2.0}) check(Op::pow, e, Comparison::lt);
      for (double e : {0.5, -0.5}) {
        const std::vector<T> x = {0, 1, 4, 2, inf, nan, -1}, out = apply(table, Op::pow, x, x, x, e);
        for (size_t i = 0; i < x.size(); ++i) CHECK(close(out[i], std::pow(x[i], T(e)), tolerance<T>()));
      }
      const std::vector<T> zeros = apply<T>(table, Op::tanh, {T(-0.0)}, {0}, {0}, 0);
      CHECK(std::signbit(zeros[0]));
    }
  });
}

TEST(map_functions_are_accurate) {
  for (const cpu::KernelTable& table : tables()) {
    CHECK(worst_ulp(table, Op::exp, -87, 88, [](double x) { return std::exp(x); }) < 2);
    CHECK(worst_ulp(table, Op::exp, -104, -87, [](double x) { return std::exp(x); }) < 2);
    CHECK(worst_ulp(table, Op::log, 1e-3, 4, [](double x) { return std::log(x); }) < 3);
    CHECK(worst_ulp(table, Op::log, 1e-40, 1e-37, [](double x) { return std::log(x); }) < 3);
    CHECK(worst_ulp(table, Op::tanh, -2, 2, [](double x) { return std::tanh(x); }) < 3);
    CHECK(worst_ulp(table, Op::tanh, -10, 10, [](double x) { return std::tanh(x); }) < 3);
    CHECK(worst_ulp(table, Op::erf, -5, 5, [](double x) { return std::erf(x); }) < 3);
    const std::vector<double> x = random_reals<double>(100000, -30, 30), e = apply(table, Op::exp, x, x, x, 0),
                              h = apply(table, Op::tanh, x, x, x, 0);
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      worst = std::max(worst, std::fabs(e[i] / std::exp(x[i]) - 1));
      worst = std::max(worst, std::fabs(h[i] / std::tanh(x[i]) - 1));
    }
    CHECK(worst < 8e-16);
  }
}

TEST(copy_index_over_strides) {
  for (const cpu::KernelTable& table : tables())
    for (int round = 0; round < rounds(60); ++round) {
      const Shape shape = round == 0 ? Shape{300, 70} : random_shape(round % 6, 9);
      const Strides x_strides = random_strides(shape), out_strides = random_strides(shape, false);
      std::vector<int32_t> x = random_indices(extent(shape, x_strides), 1 << 30), out(extent(shape, out_strides), -1);
      KernelCase test(LaunchCode::copy_index, shape);
      test.add(out, out_strides);
      test.add(x, x_strides);
      test.run<float>(table, true);
      for (int64_t i = 0; i < element_count(shape); ++i)
        CHECK(out[offset_of(i, shape, out_strides)] == x[offset_of(i, shape, x_strides)]);
    }
}

TEST(iota_counts_along_its_axis) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (const cpu::KernelTable& table : tables())
      for (const Shape& shape : {Shape{7}, {3, 5, 4}, {200, 30, 7}, {1, 50000}})
        for (size_t axis = 0; axis < shape.size(); ++axis) {
          std::vector<T> out(element_count(shape));
          KernelCase test(LaunchCode::iota, shape);
          test.add(out, dense(shape));
          test.launch.ints[0] = static_cast<int64_t>(axis);
          test.run<T>(table, true);
          int64_t inner = 1;
          for (size_t d = axis + 1; d < shape.size(); ++d) inner *= shape[d];
          for (size_t i = 0; i < out.size(); ++i)
            CHECK(out[i] == static_cast<T>(static_cast<int64_t>(i) / inner % shape[axis]));
        }
  });
}

TEST(random_equals_philox_by_index) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (const cpu::KernelTable& table : tables())
      for (int64_t kind = 0; kind < 3; ++kind)
        for (const Shape& shape : {Shape{}, {3}, {1001}, {3, 20000}}) {
          std::vector<int32_t> key = {-5, 0, 1234, 0, 7, 0, 3};
          std::vector<T> out(element_count(shape));
          KernelCase test(LaunchCode::random, shape);
          test.add(out, dense(shape));
          test.add(key, {2});
          test.launch.ints[0] = kind;
          test.launch.ints[1] = 9;
          test.run<T>(table, true);
          const RandomKey words{static_cast<uint32_t>(-5), 1234, static_cast<uint32_t>(Purpose::graph), 9, 7, 3};
          double sum = 0, squares = 0;
          for (size_t i = 0; i < out.size(); ++i) {
            const double expected = kind == 0   ? random_uniform(words, i)
                                    : kind == 1 ? random_normal(words, i)
                                                : random_rademacher(words, i);
            CHECK(out[i] == static_cast<T>(expected));
            sum += out[i];
            squares += double(out[i]) * out[i];
          }
          if (out.size() < 10000) continue;
          CHECK(close(sum / out.size(), kind == 0 ? 0.5 : 0.0, 0.02));
          CHECK(close(squares / out.size(), kind == 0 ? 1.0 / 3 : 1.0, 0.03));
        }
  });
}
