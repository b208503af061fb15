// matmul and the three convolutions against plain loops, on every SIMD level that this machine has.
#include "check.h"
#include "launches.h"

using namespace launches;

namespace {

// Sums up to `terms` products of numbers below 1; the bound is loose by design.
template <typename T>
double tolerance(int64_t terms) {
  return std::numeric_limits<T>::epsilon() * (8.0 + 2.0 * terms);
}

template <typename T>
std::vector<T> naive(const Matmul& s, const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<T> out;
  for (int64_t item = 0; item < s.batch_count(); ++item) {
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < s.n; ++j) {
        double sum = 0;
        for (int64_t p = 0; p < s.k; ++p) sum += static_cast<double>(a[s.a_at(item, i, p)]) * b[s.b_at(item, p, j)];
        out.push_back(static_cast<T>(sum));
      }
    }
  }
  return out;
}

template <typename T>
void check_matmul(const Matmul& s) {
  const std::vector<T> a = random_values<T>(s.a_size(), 1), b = random_values<T>(s.b_size(), 2),
                       expected = naive(s, a, b);
  for (const std::string& level : test::levels()) {
    const std::vector<T> got = run<T>(level, s.launch(), s.out_size(), a, b);
    const double error = difference(got, expected);
    if (error > tolerance<T>(s.k)) std::printf("%s matmul %ld x %ld x %ld: ", level.c_str(), s.m, s.n, s.k);
    CHECK_CLOSE(error, 0, tolerance<T>(s.k));
    CHECK(same_bits(got, run<T>(level, s.launch(), s.out_size(), a, b, 1)));
  }
}
void check_both(Matmul s) {
  if (!test::sampled()) return;
  for (s.spread = 1; s.spread <= 2; ++s.spread) {  // the BLAS, then our gemm
    check_matmul<float>(s);
    check_matmul<double>(s);
  }
}

struct Naive {
  std::vector<double> y, x, w;  // conv2d(x, w), conv2d_input(w, y), conv2d_weight(x, y)
};
template <typename T>
Naive naive(const Conv& s, const std::vector<T>& x, const std::vector<T>& w, const std::vector<T>& y) {
  Naive r = {std::vector<double>(s.y_size()), std::vector<double>(s.x_size()), std::vector<double>(s.w_size())};
  const int64_t cg = s.c / s.groups, og = s.o / s.groups;
  int64_t at_y = 0;
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t o = 0; o < s.o; ++o) {
      for (int64_t i = 0; i < s.oh(); ++i) {
        for (int64_t j = 0; j < s.ow(); ++j, ++at_y) {
          for (int64_t c = 0; c < cg; ++c) {
            for (int64_t k = 0; k < s.kh * s.kw; ++k) {
              const int64_t row = i * s.stride_h - s.pad_h + k / s.kw * s.dilation_h;
              const int64_t column = j * s.stride_w - s.pad_w + k % s.kw * s.dilation_w;
              if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
              const int64_t at_x = ((n * s.c + o / og * cg + c) * s.h + row) * s.w + column;
              const int64_t at_w = (o * cg + c) * s.kh * s.kw + k;
              r.y[at_y] += static_cast<double>(x[at_x]) * w[at_w];
              r.x[at_x] += static_cast<double>(y[at_y]) * w[at_w];
              r.w[at_w] += static_cast<double>(y[at_y]) * x[at_x];
            }
          }
        }
      }
    }
  }
  return r;
}

template <typename T>
double dot(const std::vector<T>& a, const std::vector<T>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}
template <typename T>
double error_of(const std::vector<T>& got, const std::vector<double>& expected) {
  return difference(std::vector<double>(got.begin(), got.end()), expected);
}

// (N,K) as (sets,K,lanes), with `rest` in lanes that have no image, or back.
template <typename T>
std::vector<T> reordered(const std::vector<T>& from, int64_t images, int64_t k_count, int64_t lanes, bool into,
                         T rest) {
  const int64_t stored = (images + lanes - 1) / lanes * lanes;
  std::vector<T> to((into ? stored : images) * k_count, rest);
  for (int64_t n = 0; n < images; ++n) {
    for (int64_t k = 0; k < k_count; ++k) {
      const int64_t plain = n * k_count + k, set = (n / lanes * k_count + k) * lanes + n % lanes;
      into ? to[set] = from[plain] : to[plain] = from[set];
    }
  }
  return to;
}

// The weight gradient from partial results, one for each part of the images.
template <typename T>
std::vector<T> from_parts(const std::string& level, Launch weight, int64_t parts, int64_t size, const std::vector<T>& x,
                          const std::vector<T>& y) {
  weight.ints[kPartsInt] = parts;
  const std::vector<T> partial = run<T>(level, weight, parts * size, x, y);
  std::vector<T> sum(size);
  for (int64_t i = 0; i < parts * size; ++i) sum[i % size] += partial[i];
  return sum;
}

// The three convolutions with images in the lanes of memory. What lanes without an image hold must not matter, so long
// as it is finite in x.
template <typename T>
void check_lanes(const std::string& level, const Conv& s, const std::vector<T>& x, const std::vector<T>& w,
                 const std::vector<T>& y, const Naive& expected, int64_t lanes) {
  if (test::kOnCuda || s.x_size() * s.y_size() == 0) return;
  const int64_t stored = (s.n + lanes - 1) / lanes * lanes, x_image = s.x_size() / s.n, y_image = s.y_size() / s.n;
  const T nothing = std::numeric_limits<T>::quiet_NaN();
  const auto launch = [&](LaunchCode code) {
    Launch l = s.launch(code);
    l.ints[kLanesInt] = lanes;
    return l;
  };
  const std::vector<T> x_sets = reordered<T>(x, s.n, x_image, lanes, true, 1000),
                       y_sets = reordered<T>(y, s.n, y_image, lanes, true, nothing);
  const auto plain = [&](const std::vector<T>& v, int64_t image) {
    return reordered<T>(v, s.n, image, lanes, false, nothing);
  };
  const auto input = [&](const Launch& l, const std::vector<T>& weights) {
    return plain(run<T>(level, l, stored * x_image, weights, y_sets), x_image);
  };
  const std::vector<T> out = plain(run<T>(level, launch(LaunchCode::conv2d), stored * y_image, x_sets, w), y_image);
  const std::vector<T> dx = input(launch(LaunchCode::conv2d_input), w);
  const std::vector<T> dw = run<T>(level, launch(LaunchCode::conv2d_weight), s.w_size(), x_sets, y_sets);
  CHECK_CLOSE(error_of(out, expected.y), 0, tolerance<T>(s.c / s.groups * s.kh * s.kw));
  CHECK_CLOSE(error_of(dx, expected.x), 0, tolerance<T>(s.o / s.groups * s.kh * s.kw));
  CHECK_CLOSE(error_of(dw, expected.w), 0, tolerance<T>(s.n * s.oh() * s.ow()));
  if (s.groups == 1) {
    // The weights as (C,O,KH,KW) in memory.
    Launch swapped = launch(LaunchCode::conv2d_input);
    const int64_t taps = s.kh * s.kw;
    swapped.operands[1].strides[0] = taps;
    swapped.operands[1].strides[1] = s.o * taps;
    std::vector<T> turned(w.size());
    for (int64_t i = 0; i < s.w_size(); ++i) turned[(i / taps % s.c * s.o + i / taps / s.c) * taps + i % taps] = w[i];
    CHECK(same_bits(input(swapped, turned), dx));
  }
  const int64_t parts = (stored + 15) / 16;
  const std::vector<T> sum = from_parts<T>(level, launch(LaunchCode::conv2d_weight), parts, s.w_size(), x_sets, y_sets);
  CHECK_CLOSE(error_of(sum, expected.w), 0, tolerance<T>(s.n * s.oh() * s.ow()));
}

template <typename T>
void check_conv(const Conv& s) {
  const std::vector<T> x = random_values<T>(s.x_size(), 1), w = random_values<T>(s.w_size(), 2),
                       y = random_values<T>(s.y_size(), 3);
  const Naive expected = naive(s, x, w, y);
  const Launch forward = s.launch(LaunchCode::conv2d), input = s.launch(LaunchCode::conv2d_input),
               weight = s.launch(LaunchCode::conv2d_weight);
  const int64_t taps = s.kh * s.kw, pixels = s.oh() * s.ow();
  for (const std::string& level : test::levels()) {
    const int failures = check::failures;
    const std::vector<T> out = run<T>(level, forward, s.y_size(), x, w);
    const std::vector<T> dx = run<T>(level, input, s.x_size(), w, y);
    const std::vector<T> dw = run<T>(level, weight, s.w_size(), x, y);
    CHECK_CLOSE(error_of(out, expected.y), 0, tolerance<T>(s.c / s.groups * taps));
    CHECK_CLOSE(error_of(dx, expected.x), 0, tolerance<T>(s.o / s.groups * taps));
    CHECK_CLOSE(error_of(dw, expected.w), 0, tolerance<T>(s.n * pixels));
    for (const int64_t lanes : {8, 16}) {
      if (lanes == 8 || sizeof(T) == 4) check_lanes(level, s, x, w, y, expected, lanes);
    }
    // The CUDA kernels share images between blocks by themselves.
    if (!test::kOnCuda && s.n > 16) {
      const std::vector<T> sum = from_parts<T>(level, weight, (s.n + 15) / 16, s.w_size(), x, y);
      CHECK_CLOSE(error_of(sum, expected.w), 0, tolerance<T>(s.n * pixels));
    }
    const double form = dot(out, y), bound = tolerance<T>(s.n * pixels * taps * s.c) * s.o;
    CHECK_CLOSE(dot(x, dx), form, bound);
    CHECK_CLOSE(dot(w, dw), form, bound);
    CHECK(same_bits(out, run<T>(level, forward, s.y_size(), x, w, 1)));
    CHECK(same_bits(dx, run<T>(level, input, s.x_size(), w, y, 1)));
    CHECK(same_bits(dw, run<T>(level, weight, s.w_size(), x, y, 1)));
    if (check::failures > failures) {
      std::printf(
          "  at %s, %zu bytes: n %ld c %ld map %ld x %ld o %ld kernel %ld x %ld stride %ld %ld pad %ld %ld groups "
          "%ld\n",
          level.c_str(), sizeof(T), s.n, s.c, s.h, s.w, s.o, s.kh, s.kw, s.stride_h, s.stride_w, s.pad_h, s.pad_w,
          s.groups);
    }
  }
}
void check_both(const Conv& s) {
  if (!test::sampled()) return;
  check_conv<float>(s);
  check_conv<double>(s);
}

}  // namespace

TEST(matmul_shapes) {
  const int64_t sizes[] = {1, 2, 3, 7, 16, 33, 64, 130};
  for (int64_t m : sizes) {
    for (int64_t n : sizes) {
      for (int64_t k : sizes) check_both(Matmul{{}, m, n, k, (m + n) % 2 == 0, (n + k) % 2 == 0});
    }
  }
}

TEST(matmul_transposed) {
  for (int i = 0; i < 4; ++i) {
    const bool a = i & 1, b = i & 2;
    for (int64_t n : {5, 30, 50, 97}) {
      check_both(Matmul{{}, 61, n, 29, a, b});
      check_both(Matmul{{}, 1, n, 129, a, b});
      check_both(Matmul{{}, 100, n, 1, a, b});
      check_both(Matmul{{}, 40, n, 600, a, b});
    }
  }
}

TEST(matmul_batches) {
  for (int i = 0; i < 4; ++i) {
    const bool a = i & 1, b = i & 2;
    check_both(Matmul{{3}, 17, 20, 9, false, true, a, b});
    check_both(Matmul{{2, 5}, 8, 8, 8, true, false, a, b});
    check_both(Matmul{{4, 1, 3}, 33, 40, 16, false, false, a, b});
    check_both(Matmul{{1000}, 2, 3, 4, false, false, a, b});
    check_both(Matmul{{200}, 16, 16, 16, true, true, a, b});
  }
}

TEST(matmul_without_elements) {
  check_both(Matmul{{}, 3, 4, 0});
  check_both(Matmul{{}, 0, 4, 3});
  check_both(Matmul{{0}, 2, 2, 2});
}

TEST(matmul_keeps_not_a_number) {
  for (Matmul s :
       {Matmul{{}, 4, 4, 4}, Matmul{{}, 40, 40, 40}, Matmul{{}, 40, 40, 40, false, false, false, false, 2}}) {
    const int64_t size = s.n;
    std::vector<float> a(s.a_size(), 0), b(s.b_size(), 1);
    b[0] = std::numeric_limits<float>::infinity();  // 0 * inf
    for (const std::string& level : test::levels()) {
      const std::vector<float> out = run<float>(level, s.launch(), s.out_size(), a, b);
      for (int64_t i = 0; i < size; ++i) CHECK(std::isnan(out[i * size]) && out[i * size + 1] == 0);
    }
  }
}

TEST(conv_kernels) {
  for (int64_t n : {1, 2, 3, 5, 8, 16, 17, 33}) {
    for (int64_t size : {1, 2, 4, 5, 7, 14}) {
      check_both(Conv{n, 3, size, size, 5, 1, 1});
      check_both(Conv{n, 2, size, size, 4, 3, 3, 1, 1, 1, 1});
      check_both(Conv{n, 3, size, size + 1, 2, 5, 5, 1, 1, 2, 2});
    }
  }
}

TEST(conv_strides) {
  for (int64_t n : {1, 4, 8, 9, 20, 32}) {
    for (int64_t size : {7, 8, 9, 10}) {
      check_both(Conv{n, 3, size, size, 4, 3, 3, 2, 2, 1, 1});
      check_both(Conv{n, 3, size, size, 4, 3, 3, 2, 1, 1, 0});
      check_both(Conv{n, 3, size, size, 4, 1, 1, 2, 2});
      check_both(Conv{n, 1, size, size + 3, 3, 7, 7, 2, 2, 3, 3});
      check_both(Conv{n, 2, size, size, 3, 2, 2, 3, 3});
      check_both(Conv{n, 2, size, size, 3, 1, 1, 3, 2, 2, 1});
    }
  }
  check_both(Conv{3, 3, 32, 32, 12, 8, 8, 8, 8});
  check_both(Conv{3, 3, 35, 29, 6, 8, 8, 8, 8, 2, 1});
}

TEST(conv_rectangles_and_dilation) {
  for (int64_t n : {1, 3, 10, 16, 24}) {
    check_both(Conv{n, 2, 9, 11, 3, 3, 5, 1, 1, 1, 2});
    check_both(Conv{n, 2, 12, 9, 3, 5, 3, 2, 1, 0, 3});
    check_both(Conv{n, 2, 11, 12, 3, 3, 3, 1, 1, 2, 2, 2, 2});
    check_both(Conv{n, 2, 13, 12, 3, 3, 3, 2, 2, 1, 2, 2, 3});
    check_both(Conv{n, 2, 4, 4, 3, 1, 1, 1, 1, 3, 3});
    check_both(Conv{n, 2, 4, 4, 3, 3, 3, 2, 2, 5, 5});
  }
}

TEST(conv_groups) {
  for (int64_t n : {1, 5, 16, 18, 24}) {
    check_both(Conv{n, 6, 7, 7, 4, 3, 3, 1, 1, 1, 1, 1, 1, 2});
    check_both(Conv{n, 6, 8, 8, 6, 3, 3, 2, 2, 1, 1, 1, 1, 6});
    check_both(Conv{n, 5, 6, 6, 10, 3, 3, 1, 1, 1, 1, 1, 1, 5});
  }
}

TEST(conv_widths) {
  for (int64_t channels : {1, 4, 13, 32}) {
    for (int64_t n : {2, 8, 16, 40}) {
      check_both(Conv{n, channels, 4, 4, channels + 3, 3, 3, 1, 1, 1, 1});
      check_both(Conv{n, channels, 1, 1, 2 * channels, 3, 3, 1, 1, 1, 1});
    }
  }
  check_both(Conv{2, 24, 28, 28, 8, 3, 3, 1, 1, 1, 1});  // several bands of rows
  check_both(Conv{20, 40, 20, 22, 8, 3, 3, 2, 2, 1, 1});
  check_both(Conv{17, 70, 3, 3, 80, 3, 3, 1, 1, 1, 1});
}

// Wide enough for tiles of many channels, and large enough for several bands of rows and copies of what they read.
TEST(conv_bands) {
  check_both(Conv{16, 20, 30, 30, 9, 3, 3, 1, 1, 1, 1});
  check_both(Conv{32, 13, 24, 26, 7, 3, 3, 2, 2, 1, 1});
  check_both(Conv{16, 9, 28, 28, 11, 5, 5, 1, 1, 2, 2});
  check_both(Conv{16, 9, 26, 28, 5, 3, 3, 1, 1, 2, 2, 2, 2});
  check_both(Conv{16, 20, 16, 32, 10, 3, 3, 1, 1, 1, 1, 1, 1, 2});
  check_both(Conv{16, 64, 12, 12, 6, 3, 3, 1, 1, 1, 1});
  check_both(Conv{48, 6, 2, 2, 17, 3, 3, 1, 1, 1, 1});
}

TEST(conv_without_elements) {
  check_both(Conv{0, 2, 4, 4, 3, 3, 3});
  check_both(Conv{2, 0, 4, 4, 3, 3, 3});
}

TEST(conv_keeps_not_a_number) {
  const Conv s{3, 2, 5, 5, 2, 3, 3, 1, 1, 1, 1};
  std::vector<float> x(s.x_size(), 1), w(s.w_size(), 0);
  x[0] = std::numeric_limits<float>::infinity();  // meets a 0 in the four outputs at its corner, in image 0 only
  for (const std::string& level : test::levels()) {
    const std::vector<float> y = run<float>(level, s.launch(LaunchCode::conv2d), s.y_size(), x, w);
    int64_t count = 0;
    for (float value : y) count += std::isnan(value);
    CHECK(count == 8);
    CHECK(std::isnan(y[0]) && std::isnan(y[6]) && y[2] == 0);
  }
}
