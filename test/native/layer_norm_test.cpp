// Layer norm's kernels against the formulas in long double, also where the mean is a thousand times the deviation.
#include "kernel_case.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

using Numbers = std::vector<long double>;

// Rows of x less their mean, times 1 / sqrt(var + eps), and these factors.
template <typename T>
struct Normalised {
  Numbers z, factor;

  Normalised(const std::vector<T>& x, int64_t rows, int64_t columns, double eps) : z(x.begin(), x.end()) {
    for (int64_t k = 0; k < rows; ++k) {
      long double mean = 0, squares = 0, *row = z.data() + k * columns;
      for (int64_t c = 0; c < columns; ++c) mean += row[c] / columns;
      for (int64_t c = 0; c < columns; ++c) row[c] -= mean;
      for (int64_t c = 0; c < columns; ++c) squares += row[c] * row[c] / columns;
      factor.push_back(1 / std::sqrt(squares + eps));
      for (int64_t c = 0; c < columns; ++c) row[c] *= factor.back();
    }
  }
};

template <typename T>
void check_layer_norm(int64_t rows, int64_t columns, double offset, bool plain_bias) {
  const double eps = 1e-5;
  const int64_t count = rows * columns;
  // What a number of this size has lost before it comes here.
  const double tolerance = (sizeof(T) == 4 ? 1e-6 : 1e-14) * (1 + offset / 20);
  std::vector<T> x = random_reals<T>(count), g = random_reals<T>(count), weight = random_reals<T>(2 * columns),
                 bias = random_reals<T>(columns), y(count), dx(count);
  for (T& value : x) value += static_cast<T>(offset);
  const int64_t parts = 3;
  std::vector<T> sums(parts * 2 * columns), whole(2 * columns);

  KernelCase forward(LaunchCode::layer_norm, {rows, columns});
  forward.add(y, {columns, 1});
  forward.add(x, {columns, 1});
  forward.add(weight, {0, 2});
  plain_bias ? forward.immediate(0.25) : forward.add(bias, {0, 1});
  KernelCase input(LaunchCode::layer_norm_backward_input, {rows, columns});
  for (std::vector<T>* rows_of : {&dx, &g, &x}) input.add(*rows_of, {columns, 1});
  input.add(weight, {0, 2});
  KernelCase partial(LaunchCode::layer_norm_backward_sums, {rows, columns}), single = partial;
  partial.launch.ints[kPartsInt] = parts;
  single.launch.ints[kPartsInt] = 1;
  for (std::vector<T>* operand : {&sums, &g, &x}) partial.add(*operand, {});
  for (std::vector<T>* operand : {&whole, &g, &x}) single.add(*operand, {});
  for (KernelCase* test : {&forward, &input, &partial, &single}) test->launch.reals[0] = eps;

  const Normalised<T> n(x, rows, columns, eps);
  for (const cpu::KernelTable& table : tables()) {
    forward.run<T>(table, true);
    input.run<T>(table, true);
    single.run<T>(table, true);
    const bool splits = std::string(table.level) != "cuda";  // where one launch gives the whole sum
    if (splits) partial.run<T>(table, true);
    bool good = true;
    Numbers products(columns), plain(columns);
    for (int64_t k = 0; k < rows; ++k) {
      long double mean = 0, slope = 0;
      const auto given = [&](int64_t c) { return static_cast<long double>(g[k * columns + c]) * weight[2 * c]; };
      for (int64_t c = 0; c < columns; ++c) {
        const long double z = n.z[k * columns + c];
        mean += given(c) / columns;
        slope += given(c) * z / columns;
        products[c] += g[k * columns + c] * z;
        plain[c] += g[k * columns + c];
        const double value = static_cast<double>(z * weight[2 * c] + (plain_bias ? 0.25 : bias[c]));
        good = good && close(y[k * columns + c], value, tolerance);
      }
      for (int64_t c = 0; c < columns; ++c) {
        const double value = static_cast<double>(n.factor[k] * (given(c) - mean - n.z[k * columns + c] * slope));
        good = good && close(dx[k * columns + c], value, tolerance * static_cast<double>(std::max(1.0L, n.factor[k])));
      }
    }
    const double sum_tolerance = tolerance * static_cast<double>(rows);
    for (int64_t c = 0; c < columns; ++c) {
      good = good && close(whole[c], static_cast<double>(products[c]), sum_tolerance);
      good = good && close(whole[columns + c], static_cast<double>(plain[c]), sum_tolerance);
      for (int64_t i = 0; splits && i < 2; ++i) {
        double all = 0;
        for (int64_t part = 0; part < parts; ++part) all += sums[(part * 2 + i) * columns + c];
        good = good && close(all, whole[i * columns + c], sum_tolerance);
      }
    }
    CHECK(good);
  }
}

}  // namespace

TEST(layer_norm_and_its_gradients) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (double offset : {0.0, 1000.0})
      for (const Shape& shape : {Shape{1, 2}, {5, 1}, {2, 3}, {40, 16}, {33, 96}, {7, 181}, {3, 1000}, {700, 20}})
        if (affordable(element_count(shape))) check_layer_norm<T>(shape[0], shape[1], offset, shape[0] % 2 == 0);
  });
}
