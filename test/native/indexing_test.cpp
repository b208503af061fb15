// gather, scatter_add and pool_argmax against plain loops.
#include <limits>

#include "kernel_case.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

// A random index operand over `shape`: in range, with a few ignored ones (-100).
struct Indices {
  Strides strides;
  std::vector<int32_t> values;
  bool has_ignore = pick(0, 1);

  Indices(const Shape& shape, int64_t size)
      : strides(random_strides(shape)), values(random_indices(extent(shape, strides), size)) {
    for (int32_t& value : values)
      if (has_ignore && pick(0, 5) == 0) value = -100;
  }
  void set_ints(Launch& launch, int axis, int64_t size) const {
    const int64_t ints[] = {axis, has_ignore, -100, size};
    std::copy(ints, ints + 4, launch.ints);
  }
};

// Position p of `shape` with the index put in on the axis, as an offset of an operand.
int64_t replaced(int64_t p, const Shape& shape, const Strides& strides, int axis, int64_t index) {
  Strides along(shape.size());
  along[axis] = strides[axis];
  return offset_of(p, shape, strides) - offset_of(p, shape, along) + index * strides[axis];
}

template <typename T>
void check_gather(const Shape& shape, int axis, int64_t size) {
  Shape x_shape = shape;
  x_shape[axis] = size;
  const Strides x_strides = random_strides(x_shape);
  std::vector<T> x = random_reals<T>(extent(x_shape, x_strides)), out(element_count(shape));
  Indices index(shape, size);
  KernelCase test(LaunchCode::gather, shape);
  test.add(out, dense(shape));
  test.add(x, x_strides);
  test.add(index.values, index.strides);
  index.set_ints(test.launch, axis, size);
  for (const cpu::KernelTable& table : tables()) {
    std::fill(out.begin(), out.end(), T(-7));
    CHECK(test.run<T>(table, true).limit == 0);
    bool good = true;
    for (int64_t p = 0; p < element_count(shape); ++p) {
      const int32_t i = index.values[offset_of(p, shape, index.strides)];
      good = good && out[p] == (i < 0 ? T(0) : x[replaced(p, shape, x_strides, axis, i)]);
    }
    CHECK(good);
  }
}

template <typename T>
void check_scatter(const Shape& shape, int axis, int64_t size) {
  Shape out_shape = shape;
  out_shape[axis] = size;
  const Strides g_strides = random_strides(shape), out_strides = dense(out_shape);
  std::vector<T> g = random_reals<T>(extent(shape, g_strides)), out(element_count(out_shape));
  Indices index(shape, size);
  KernelCase test(LaunchCode::scatter_add, shape);
  test.add(out, out_strides);
  test.add(g, g_strides);
  test.add(index.values, index.strides);
  index.set_ints(test.launch, axis, size);
  std::vector<T> expected(out.size());  // row-major order of p is ascending along the axis: the same bits
  for (int64_t p = 0; p < element_count(shape); ++p) {
    const int32_t i = index.values[offset_of(p, shape, index.strides)];
    if (i >= 0) expected[replaced(p, shape, out_strides, axis, i)] += g[offset_of(p, shape, g_strides)];
  }
  for (const cpu::KernelTable& table : tables()) {
    std::fill(out.begin(), out.end(), std::numeric_limits<T>::quiet_NaN());
    CHECK(test.run<T>(table, true).limit == 0);
    CHECK(same_bits(out, expected));
  }
}

template <typename T>
void check_pool(const Shape& x_shape, PoolAttrs pool) {
  const int64_t h = x_shape[2], w = x_shape[3], out_h = (h + 2 * pool.pad_h - pool.kh) / pool.stride_h + 1,
                out_w = (w + 2 * pool.pad_w - pool.kw) / pool.stride_w + 1;
  const Strides strides = random_strides(x_shape, false);
  std::vector<T> x(extent(x_shape, strides));
  const T inf = std::numeric_limits<T>::infinity();
  for (T& value : x)
    value = pick(0, 30) == 0 ? std::numeric_limits<T>::quiet_NaN() : pick(0, 3) == 0 ? -inf : T(pick(-2, 2));
  const int64_t planes = x_shape[0] * x_shape[1];
  std::vector<int32_t> out(planes * out_h * out_w);
  KernelCase test(LaunchCode::pool_argmax, {x_shape[0], x_shape[1], h, w, out_h, out_w});
  test.add(out, {});
  test.add(x, strides);
  const int64_t ints[] = {pool.kh, pool.kw, pool.stride_h, pool.stride_w, pool.pad_h, pool.pad_w};
  std::copy(ints, ints + 6, test.launch.ints);
  for (const cpu::KernelTable& table : tables()) {
    std::fill(out.begin(), out.end(), -1);
    test.run<T>(table, true);
    bool good = true;
    for (size_t o = 0; o < out.size(); ++o) {
      const int64_t left = static_cast<int64_t>(o) % out_w * pool.stride_w - pool.pad_w;
      const int64_t top = static_cast<int64_t>(o) / out_w % out_h * pool.stride_h - pool.pad_h;
      const int64_t plane = static_cast<int64_t>(o) / (out_w * out_h) * h * w;
      int64_t best = -1;
      const auto at = [&](int64_t p) { return x[offset_of(plane + p, x_shape, strides)]; };
      for (int64_t r = std::max<int64_t>(top, 0); r < std::min(top + pool.kh, h); ++r)
        for (int64_t c = std::max<int64_t>(left, 0); c < std::min(left + pool.kw, w); ++c) {
          const int64_t p = r * w + c;
          if (best < 0 || (!std::isnan(at(best)) && (std::isnan(at(p)) || at(p) > at(best)))) best = p;
        }
      good = good && out[o] == best;
    }
    CHECK(good);
  }
}

}  // namespace

TEST(gather_and_scatter_add) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (int round = 0; round < 120; ++round) {
      const Shape shape = random_shape(1 + round % 5, 8);
      const int axis = static_cast<int>(pick(0, static_cast<int64_t>(shape.size()) - 1));
      check_gather<T>(shape, axis, pick(1, 12));
      check_scatter<T>(shape, axis, pick(1, 12));
    }
    for (int axis : {0, 1})
      for (int64_t size : {1, 100, 3000}) {
        check_gather<T>({150, 200}, axis, size);
        check_scatter<T>({150, 200}, axis, size);
      }
    check_gather<T>({3, 300, 70}, 1, 40);
    check_scatter<T>({3, 300, 70}, 1, 40);
    check_scatter<T>({4, 0, 3}, 1, 5);  // nothing to add: zeros
  });
}

TEST(gather_and_scatter_add_report_faults) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (const cpu::KernelTable& table : tables())
      for (LaunchCode code : {LaunchCode::gather, LaunchCode::scatter_add})
        for (int32_t bad : {5, -1, 1 << 30}) {
          std::vector<int32_t> index = {0, 4, bad, 2, 77};
          std::vector<T> x = {1, 2, 3, 4, 5}, out(5, T(-7));
          KernelCase test(code, {5});
          test.add(out, {1});
          test.add(x, {1});
          test.add(index, {1});
          test.launch.ints[3] = 5;
          const KernelFault fault = test.run<T>(table);
          CHECK(fault.value == bad && fault.limit == 5);
          const std::vector<T> expected =
              code == LaunchCode::gather ? std::vector<T>{1, 5, 0, 3, 0} : std::vector<T>{1, 0, 4, 0, 2};
          CHECK(out == expected);
        }
  });
}

TEST(pool_argmax_takes_the_first_in_the_window) {
  for_reals([](auto t) {
    using T = decltype(t);
    check_pool<T>({2, 3, 28, 28}, {2, 2, 2, 2, 0, 0});
    check_pool<T>({1, 2, 9, 300}, {3, 3, 2, 2, 1, 1});
    check_pool<T>({1, 1, 5, 7}, {5, 7, 1, 1, 0, 0});
    for (int round = 0; round < 60; ++round) {
      PoolAttrs pool{pick(1, 4), pick(1, 4), pick(1, 3), pick(1, 3), 0, 0};
      pool.pad_h = pick(0, pool.kh / 2);
      pool.pad_w = pick(0, pool.kw / 2);
      check_pool<T>({pick(1, 3), pick(1, 5), pick(4, 12), pick(4, 12)}, pool);
    }
  });
}
