// Softmax cross-entropy and its gradient against the formulas in long double.
#include <limits>

#include "kernel_case.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

struct Row {
  std::vector<double> gradient;
  double loss = 0;
};

template <typename T>
Row plain_row(const T* z, int64_t stride, int64_t columns, int64_t target, double s) {
  long double top = -INFINITY, sum = 0, gap = 0;
  for (int64_t c = 0; c < columns; ++c) top = std::max<long double>(top, z[c * stride]);
  for (int64_t c = 0; c < columns; ++c) sum += std::exp(z[c * stride] - top);
  const long double lse = top + std::log(sum);
  Row row;
  for (int64_t c = 0; c < columns; ++c) {
    gap += (lse - z[c * stride]) / columns;
    row.gradient.push_back(
        static_cast<double>(std::exp(z[c * stride] - lse) - (c == target ? 1 - s : 0) - s / columns));
  }
  row.loss = static_cast<double>((1 - s) * (lse - z[target * stride]) + (s == 0 ? 0 : s * gap));
  return row;
}

template <typename T>
void check_rows(int64_t rows, int64_t columns, bool transposed, bool has_ignore, double smoothing, double spread) {
  const double tolerance = sizeof(T) == 4 ? 5e-7 : 2e-15;
  const Strides strides = transposed ? Strides{1, rows} : Strides{columns, 1};
  std::vector<T> logits = random_reals<T>(rows * columns, -spread, spread), u = random_reals<T>(rows * 2), loss(rows),
                 gradient(rows * columns);
  std::vector<int32_t> target = random_indices(rows, columns);
  for (int32_t& t : target)
    if (has_ignore && pick(0, 3) == 0) t = -1;
  KernelCase forward(LaunchCode::softmax_cross_entropy, {rows, columns});
  KernelCase backward(LaunchCode::softmax_cross_entropy_backward, {rows, columns});
  forward.add(loss, {1});
  backward.add(gradient, {columns, 1});
  const int64_t u_stride = pick(0, 2);
  for (KernelCase* test : {&forward, &backward}) {
    test->add(logits, strides);
    test->add(target, {1});
    test->launch.ints[0] = has_ignore;
    test->launch.ints[1] = -1;
    test->launch.reals[0] = smoothing;
  }
  const bool is_immediate = pick(0, 2) == 0;
  is_immediate ? backward.immediate(0.3) : backward.add(u, {u_stride});
  for (const cpu::KernelTable& table : tables()) {
    CHECK(forward.run<T>(table, true).limit == 0);
    CHECK(backward.run<T>(table, true).limit == 0);
    bool good = true;
    for (int64_t i = 0; i < rows; ++i) {
      const double weight = target[i] < 0 ? 0 : is_immediate ? 0.3 : u[i * u_stride];
      const Row row = plain_row(logits.data() + i * strides[0], strides[1], columns, std::max(0, target[i]), smoothing);
      good = good && close(loss[i], target[i] < 0 ? 0 : row.loss, tolerance);
      for (int64_t c = 0; c < columns; ++c)
        good = good && close(gradient[i * columns + c], weight * row.gradient[c], tolerance);
    }
    CHECK(good);
  }
}

}  // namespace

TEST(softmax_cross_entropy_and_gradient) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (bool transposed : {false, true})
      for (bool has_ignore : {false, true})
        for (double smoothing : {0.0, 0.1})
          for (double spread : {1.0, 300.0})
            for (const Shape& shape : {Shape{1, 1}, {1, 2}, {100, 10}, {7, 100}, {3, 5000}, {4000, 10}})
              if (affordable(element_count(shape)))
                check_rows<T>(shape[0], shape[1], transposed, has_ignore, smoothing, spread);
  });
}

TEST(softmax_cross_entropy_edges) {
  for_reals([](auto t) {
    using T = decltype(t);
    const T inf = std::numeric_limits<T>::infinity();
    for (const cpu::KernelTable& table : tables()) {
      // A masked class, a NaN, a target out of range.
      std::vector<T> logits = {0, -inf, 0, 1, std::numeric_limits<T>::quiet_NaN(), 2, 1, 2, 3}, loss(3), gradient(9),
                     one = {1};
      std::vector<int32_t> target = {0, 0, 3};
      KernelCase forward(LaunchCode::softmax_cross_entropy, {3, 3}),
          backward(LaunchCode::softmax_cross_entropy_backward, {3, 3});
      forward.add(loss, {1});
      backward.add(gradient, {3, 1});
      for (KernelCase* test : {&forward, &backward}) {
        test->add(logits, {3, 1});
        test->add(target, {1});
      }
      backward.add(one, {0});
      const KernelFault fault = forward.run<T>(table);
      CHECK(fault.value == 3 && fault.limit == 3);
      CHECK(backward.run<T>(table).limit == 3);
      CHECK(close(loss[0], std::log(2.0), 1e-6) && std::isnan(loss[1]) && loss[2] == 0);
      CHECK(close(gradient[0], -0.5, 1e-6) && gradient[1] == 0 && close(gradient[2], 0.5, 1e-6));
      CHECK(std::isnan(gradient[3]) && gradient[6] == 0 && gradient[8] == 0);
    }
  });
}
