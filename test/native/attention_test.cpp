// Attention and its gradient against the formulas in long double: odd sizes of heads, one query and many, strided rows.
#include <limits>

#include "kernel_case.h"

using namespace ptmz;
using namespace ptmz::test;

namespace {

using Numbers = std::vector<long double>;

struct Sizes {
  int64_t batch, heads, time, size;
  int64_t count() const { return batch * heads * time * size; }
};

// One head: y and the gradients of <y, u>, in plain loops over rows (time, size).
struct Head {
  Numbers y, dq, dk, dv;

  template <typename At>
  Head(const Sizes& s, bool causal, double scale, const At& at) {
    for (Numbers* out : {&y, &dq, &dk, &dv}) out->assign(static_cast<size_t>(s.time * s.size), 0);
    for (int64_t i = 0; i < s.time; ++i) {
      const int64_t seen = causal ? i + 1 : s.time;
      Numbers p(static_cast<size_t>(seen)), dp(p);
      long double top = -INFINITY, sum = 0, inner = 0;
      for (int64_t j = 0; j < seen; ++j) {
        for (int64_t d = 0; d < s.size; ++d) {
          p[j] += at(0, i, d) * at(1, j, d) * scale;
          dp[j] += at(3, i, d) * at(2, j, d);
        }
        top = std::max(top, p[j]);
      }
      for (long double& value : p) sum += value = std::exp(value - top);
      for (int64_t j = 0; j < seen; ++j) inner += (p[j] /= sum) * dp[j];
      for (int64_t j = 0; j < seen; ++j)
        for (int64_t d = 0; d < s.size; ++d) {
          const long double slope = p[j] * (dp[j] - inner) * scale;
          y[i * s.size + d] += p[j] * at(2, j, d);
          dq[i * s.size + d] += slope * at(1, j, d);
          dk[j * s.size + d] += slope * at(0, i, d);
          dv[j * s.size + d] += p[j] * at(3, i, d);
        }
    }
  }
};

template <typename T>
void check_attention(const Sizes& s, bool causal, double spread) {
  const double scale = 1 / std::sqrt(static_cast<double>(s.size));
  const double tolerance = (sizeof(T) == 4 ? 2e-6 : 5e-15) * std::sqrt(static_cast<double>(s.time)) * spread * spread;
  std::vector<T> qkv = random_reals<T>(3 * s.count(), -spread, spread), u = random_reals<T>(s.count()), y(s.count()),
                 gradient(3 * s.count());
  // qkv (B,T,3,H,D) and y, u (B,T,H,D), as (B,H,T,D).
  const int64_t row = s.heads * s.size;
  const Strides packed{s.time * 3 * row, s.size, 3 * row, 1}, heads{s.time * row, s.size, row, 1};
  KernelCase forward(LaunchCode::attention, {s.batch, s.heads, s.time, s.size});
  KernelCase backward(LaunchCode::attention_backward, {s.batch, s.heads, s.time, s.size});
  forward.add(y, heads);
  forward.add(qkv, packed);
  backward.add(gradient, packed);
  backward.add(qkv, packed);
  backward.add(u, heads);
  for (KernelCase* test : {&forward, &backward}) {
    test->launch.ints[0] = causal;
    test->launch.ints[1] = test->launch.ints[2] = row;
    test->launch.reals[0] = scale;
  }
  for (const cpu::KernelTable& table : tables()) {
    forward.run<T>(table, true);
    backward.run<T>(table, true);
    bool good = true;
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t h = 0; h < s.heads; ++h) {
        const auto place = [&](int64_t part, int64_t t, int64_t d) {
          return b * packed[0] + part * row + h * s.size + t * packed[2] + d;
        };
        const auto plain = [&](int64_t t, int64_t d) { return b * heads[0] + h * s.size + t * row + d; };
        const auto at = [&](int part, int64_t t, int64_t d) {
          return static_cast<long double>(part == 3 ? u[plain(t, d)] : qkv[place(part, t, d)]);
        };
        const Head head(s, causal, scale, at);
        for (int64_t t = 0; t < s.time; ++t)
          for (int64_t d = 0; d < s.size; ++d) {
            const size_t i = static_cast<size_t>(t * s.size + d);
            good = good && close(y[plain(t, d)], static_cast<double>(head.y[i]), tolerance);
            const Numbers* parts[] = {&head.dq, &head.dk, &head.dv};
            for (int64_t part = 0; part < 3; ++part)
              good = good && close(gradient[place(part, t, d)], static_cast<double>((*parts[part])[i]), tolerance);
          }
      }
    CHECK(good);
  }
}

}  // namespace

TEST(attention_and_its_gradient) {
  for_reals([](auto t) {
    using T = decltype(t);
    for (bool causal : {false, true})
      for (const Sizes& s : {Sizes{1, 1, 1, 1},
                             {2, 3, 5, 4},
                             {1, 2, 7, 23},
                             {2, 1, 33, 45},
                             {1, 1, 65, 32},
                             {1, 2, 3, 91},
                             {1, 1, 70, 181},
                             {1, 1, 131, 16},
                             {3, 2, 64, 8}})
        if (affordable(s.count() * s.time)) check_attention<T>(s, causal, 1);
  });
}

// Scores of up to a thousand: nothing overflows, and a row is one key's alone.
TEST(attention_of_large_scores) {
  for_reals([](auto t) { check_attention<decltype(t)>({1, 1, 9, 16}, true, 20); });
}

// Overwhelming, masked and undefined scores do what softmax does with them.
TEST(attention_edges) {
  for_reals([](auto t) {
    using T = decltype(t);
    const T inf = std::numeric_limits<T>::infinity();
    // One head of size 1, three rows: q, k, v of each.
    std::vector<T> qkv = {1, -inf, 2, 1, 1, 3, 1, std::numeric_limits<T>::quiet_NaN(), 4}, y(3);
    KernelCase test(LaunchCode::attention, {1, 1, 3, 1});
    test.add(y, {3, 3, 1, 1});
    test.add(qkv, {9, 1, 3, 1});
    test.launch.ints[0] = 1;
    test.launch.ints[1] = 1;
    test.launch.reals[0] = 1;
    for (const cpu::KernelTable& table : tables()) {
      test.run<T>(table);
      CHECK(std::isnan(y[0]));  // it sees one key, of score -infinity
      CHECK(close(y[1], 3, 1e-6));
      CHECK(std::isnan(y[2]));
    }
  });
}
