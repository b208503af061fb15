// The fused SGD pass: a check that nothing turns infinite, then the update, both cut into fixed blocks.
#include "solvers/sgd.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "ir/error.h"

namespace ptmz {

namespace {

constexpr int64_t kBlock = 32768;
constexpr int64_t kParallelFrom = 65536;  // elements over all members below which threads cost more than they bring

template <typename T>
struct Updated {
  T p, velocity;
};

template <typename T, bool nesterov>
inline Updated<T> update(T p, T velocity, T g, T lr, T momentum, T decay) {
  const T slope = g + decay * p;
  const T next = momentum * velocity + slope;
  return {p - lr * (nesterov ? slope + momentum * next : next), next};
}

template <typename T, bool nesterov>
bool stays_finite(const T* p, const T* velocity, const T* g, int64_t n, T lr, T momentum, T decay) {
  int bad = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Updated<T> next = update<T, nesterov>(p[i], velocity[i], g[i], lr, momentum, decay);
    // False for a NaN too. A gradient that is not finite makes the velocity not finite.
    bad |= !(std::fabs(next.p) <= std::numeric_limits<T>::max());
    bad |= !(std::fabs(next.velocity) <= std::numeric_limits<T>::max());
  }
  return !bad;
}

template <typename T, bool nesterov>
void update_block(T* p, T* velocity, const T* g, int64_t n, T lr, T momentum, T decay) {
  for (int64_t i = 0; i < n; ++i) {
    const Updated<T> next = update<T, nesterov>(p[i], velocity[i], g[i], lr, momentum, decay);
    p[i] = next.p;
    velocity[i] = next.velocity;
  }
}

// Calls f(value of type T, std::bool_constant) for the dtype and form at hand.
template <typename F>
void dispatch(DType dtype, bool nesterov, const F& f) {
  if (dtype == DType::f32) {
    nesterov ? f(float{}, std::true_type{}) : f(float{}, std::false_type{});
  } else {
    nesterov ? f(double{}, std::true_type{}) : f(double{}, std::false_type{});
  }
}

}  // namespace

Sgd::Sgd(Vector& params, Vector& velocity, const std::vector<ParameterRange>& ranges, bool nesterov)
    : params_(params), velocity_(velocity), nesterov_(nesterov) {
  if (velocity.rows() != params.rows() || velocity.size() != params.size() || velocity.dtype() != params.dtype()) {
    throw Error("INVALID_ARGUMENT", "SGD: the velocity must be laid out as the parameters");
  }
  for (const ParameterRange& range : ranges) {
    if (range.begin < 0 || range.end < range.begin || range.end > params.size()) {
      throw Error("INVALID_ARGUMENT", "SGD: a range lies outside the parameters");
    }
    for (int64_t begin = range.begin; begin < range.end; begin += kBlock) {
      blocks_.push_back({begin, std::min(begin + kBlock, range.end), range.decays});
    }
  }
}

void Sgd::check(const Vector& grad, const std::vector<SgdStep>& steps, int threads, std::vector<char>& alive) const {
  const int64_t members = params_.rows(), blocks = static_cast<int64_t>(blocks_.size());
  std::vector<char> finite(members * blocks, 1);
  if (members * params_.size() < kParallelFrom) threads = 1;
  parallel_for(threads, members * blocks, [&](int64_t item, int) {
    const int64_t m = item / blocks;
    if (!alive[m]) return;
    const ParameterRange& block = blocks_[item % blocks];
    dispatch(params_.dtype(), nesterov_, [&](auto type, auto nesterov) {
      using T = decltype(type);
      finite[item] = stays_finite<T, nesterov.value>(params_.as<T>(m) + block.begin, velocity_.as<T>(m) + block.begin,
                                                     grad.as<T>(m) + block.begin, block.end - block.begin,
                                                     static_cast<T>(steps[m].lr), static_cast<T>(steps[m].momentum),
                                                     static_cast<T>(block.decays ? steps[m].decay : 0.0));
    });
  });
  for (int64_t item = 0; item < members * blocks; ++item) alive[item / blocks] &= finite[item];
}

void Sgd::apply(const Vector& grad, const std::vector<SgdStep>& steps, int threads, const std::vector<char>& alive) {
  const int64_t members = params_.rows(), blocks = static_cast<int64_t>(blocks_.size());
  if (members * params_.size() < kParallelFrom) threads = 1;
  parallel_for(threads, members * blocks, [&](int64_t item, int) {
    const int64_t m = item / blocks;
    if (!alive[m]) return;
    const ParameterRange& block = blocks_[item % blocks];
    dispatch(params_.dtype(), nesterov_, [&](auto type, auto nesterov) {
      using T = decltype(type);
      update_block<T, nesterov.value>(params_.as<T>(m) + block.begin, velocity_.as<T>(m) + block.begin,
                                      grad.as<T>(m) + block.begin, block.end - block.begin, static_cast<T>(steps[m].lr),
                                      static_cast<T>(steps[m].momentum),
                                      static_cast<T>(block.decays ? steps[m].decay : 0.0));
    });
  });
}

}  // namespace ptmz
