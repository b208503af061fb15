// The fused optimiser pass: a check that nothing turns infinite, then the update, both cut into fixed blocks.
#include "solvers/optimiser.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "ir/error.h"

namespace ptmz {

namespace {

constexpr int64_t kBlock = 32768;
constexpr int64_t kParallelFrom = 65536;  // elements over all members below which threads cost more than they bring

// What an optimiser holds of one parameter.
template <typename T>
struct Element {
  T p, first, second;
};

template <typename T, bool nesterov>
struct SgdRule {
  static constexpr bool kSecond = false;
  T lr, momentum, decay, scale;
  SgdRule(const OptimiserOptions&, const OptimiserStep& s, bool decays)
      : lr(static_cast<T>(s.lr)),
        momentum(static_cast<T>(s.momentum)),
        decay(static_cast<T>(decays ? s.decay : 0.0)),
        scale(static_cast<T>(s.scale)) {}
  Element<T> next(const Element<T>& x, T g) const {
    const T slope = scale * g + decay * x.p;
    const T velocity = momentum * x.first + slope;
    return {x.p - lr * (nesterov ? slope + momentum * velocity : velocity), velocity, x.second};
  }
};

// The factors are computed in float64 and the operations are in torch's order.
template <typename T, bool decoupled>
struct AdamRule {
  static constexpr bool kSecond = true;
  T keep, pull, scale, rate, beta2, rest1, rest2, root, eps;
  AdamRule(const OptimiserOptions& o, const OptimiserStep& s, bool decays)
      : keep(static_cast<T>(decoupled && decays ? 1.0 - s.lr * s.decay : 1.0)),
        pull(static_cast<T>(!decoupled && decays ? s.decay : 0.0)),
        scale(static_cast<T>(s.scale)),
        rate(static_cast<T>(s.lr / (1.0 - std::pow(s.momentum, static_cast<double>(s.count))))),
        beta2(static_cast<T>(o.beta2)),
        rest1(static_cast<T>(1.0 - s.momentum)),
        rest2(static_cast<T>(1.0 - o.beta2)),
        root(static_cast<T>(std::sqrt(1.0 - std::pow(o.beta2, static_cast<double>(s.count))))),
        eps(static_cast<T>(o.eps)) {}
  Element<T> next(const Element<T>& x, T gradient) const {
    const T g = scale * gradient + pull * x.p;
    const T first = x.first + rest1 * (g - x.first);
    const T second = beta2 * x.second + rest2 * g * g;
    return {keep * x.p - rate * first / (std::sqrt(second) / root + eps), first, second};
  }
};

template <typename T>
struct RmspropRule {
  static constexpr bool kSecond = true;
  T lr, momentum, decay, scale, alpha, rest, eps;
  RmspropRule(const OptimiserOptions& o, const OptimiserStep& s, bool decays)
      : lr(static_cast<T>(s.lr)),
        momentum(static_cast<T>(s.momentum)),
        decay(static_cast<T>(decays ? s.decay : 0.0)),
        scale(static_cast<T>(s.scale)),
        alpha(static_cast<T>(o.beta2)),
        rest(static_cast<T>(1.0 - o.beta2)),
        eps(static_cast<T>(o.eps)) {}
  Element<T> next(const Element<T>& x, T gradient) const {
    const T g = scale * gradient + decay * x.p;
    const T second = alpha * x.second + rest * g * g;
    const T first = momentum * x.first + g / (std::sqrt(second) + eps);
    return {x.p - lr * first, first, second};
  }
};

// The elements of a block and their gradient; `second` is null where the rule has none.
template <typename T, typename Rule>
struct Block {
  Rule rule;
  T *p, *first, *second;
  const T* g;
  int64_t n;

  Element<T> next(int64_t i) const {
    Element<T> x{p[i], first[i], T(0)};
    if constexpr (Rule::kSecond) x.second = second[i];
    return rule.next(x, g[i]);
  }
  bool stays_finite() const {
    constexpr T kMax = std::numeric_limits<T>::max();
    int bad = 0;
    for (int64_t i = 0; i < n; ++i) {
      const Element<T> x = next(i);
      // False for a NaN too. A gradient that is not finite makes the first moment not finite.
      bad |= !(std::fabs(x.p) <= kMax) | !(std::fabs(x.first) <= kMax);
      if constexpr (Rule::kSecond) bad |= !(std::fabs(x.second) <= kMax);
    }
    return !bad;
  }
  void update() const {
    for (int64_t i = 0; i < n; ++i) {
      const Element<T> x = next(i);
      p[i] = x.p;
      first[i] = x.first;
      if constexpr (Rule::kSecond) second[i] = x.second;
    }
  }
};

}  // namespace

Optimiser::Optimiser(const OptimiserOptions& options, Vector& params, Vector& first, Vector* second,
                     const std::vector<ParameterRange>& ranges)
    : options_(options), params_(params), first_(first), second_(second) {
  const auto fail = [](const char* what) { throw Error("INVALID_ARGUMENT", std::string("optimiser: ") + what); };
  if (has_second_moment(options.kind) != (second != nullptr)) fail("the second moment does not fit the optimiser");
  const auto fits = [&](const Vector& v) {
    return v.rows() == params.rows() && v.size() == params.size() && v.dtype() == params.dtype();
  };
  if (!fits(first) || (second && !fits(*second))) fail("the moments must be laid out as the parameters");
  for (const ParameterRange& range : ranges) {
    if (range.begin < 0 || range.end < range.begin || range.end > params.size())
      fail("a range lies outside the parameters");
    for (int64_t begin = range.begin; begin < range.end; begin += kBlock) {
      blocks_.push_back({begin, std::min(begin + kBlock, range.end), range.decays});
    }
  }
}

// Calls f(block, number of the item = member * blocks + block) for every block of every member that is alive.
template <typename F>
void Optimiser::for_each_block(const Vector& grad, const std::vector<OptimiserStep>& steps, int threads,
                               const std::vector<char>& alive, const F& f) const {
  const int64_t members = params_.rows(), blocks = static_cast<int64_t>(blocks_.size());
  if (members * params_.size() < kParallelFrom) threads = 1;
  parallel_for(threads, members * blocks, [&](int64_t item, int) {
    const int64_t m = item / blocks;
    if (!alive[m]) return;
    const ParameterRange& range = blocks_[item % blocks];
    const auto call = [&]<typename T, typename Rule>(T, const Rule& rule) {
      T* second = second_ ? second_->as<T>(m) + range.begin : nullptr;
      f(Block<T, Rule>{rule, params_.as<T>(m) + range.begin, first_.as<T>(m) + range.begin, second,
                       grad.as<T>(m) + range.begin, range.end - range.begin},
        item);
    };
    const auto dispatch = [&]<typename T>(T type) {
      const auto rule = [&]<typename Rule>(Rule*) { call(type, Rule(options_, steps[m], range.decays)); };
      switch (options_.kind) {
        case OptimiserKind::adam:
          return rule(static_cast<AdamRule<T, false>*>(nullptr));
        case OptimiserKind::adamw:
          return rule(static_cast<AdamRule<T, true>*>(nullptr));
        case OptimiserKind::rmsprop:
          return rule(static_cast<RmspropRule<T>*>(nullptr));
        default:
          break;
      }
      if (options_.nesterov) return rule(static_cast<SgdRule<T, true>*>(nullptr));
      rule(static_cast<SgdRule<T, false>*>(nullptr));
    };
    params_.dtype() == DType::f32 ? dispatch(float{}) : dispatch(double{});
  });
}

void Optimiser::check(const Vector& grad, const std::vector<OptimiserStep>& steps, int threads,
                      std::vector<char>& alive) const {
  const int64_t blocks = static_cast<int64_t>(blocks_.size());
  std::vector<char> finite(params_.rows() * blocks, 1);
  for_each_block(grad, steps, threads, alive,
                 [&](const auto& block, int64_t item) { finite[item] = block.stays_finite(); });
  for (size_t item = 0; item < finite.size(); ++item) alive[item / blocks] &= finite[item];
}

void Optimiser::apply(const Vector& grad, const std::vector<OptimiserStep>& steps, int threads,
                      const std::vector<char>& alive) {
  for_each_block(grad, steps, threads, alive, [](const auto& block, int64_t) { block.update(); });
}

}  // namespace ptmz
