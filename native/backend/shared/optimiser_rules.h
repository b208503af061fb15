// The optimisers' rules for one parameter, as torch.optim has them; the CPU and the kernels of a device compile these
// lines.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>

#include "host_device.h"

namespace ptmz {

// sgd      first = momentum * first + g'; p -= lr * first, or Nesterov's lr * (g' + momentum * first), where
//          g' = g + decay * p
// adam     first and second are moving averages of g' and g'^2;
//          p -= lr * first / (1 - beta1^t) / (sqrt(second / (1 - beta2^t)) + eps)   (Kingma and Ba 2015, algorithm 1)
// adamw    the same of g itself, after p -= lr * decay * p                 (Loshchilov and Hutter 2019, algorithm 2)
// rmsprop  second is a moving average of g'^2 with weight beta2; first = momentum * first + g' / (sqrt(second) + eps);
//          p -= lr * first
// In all of them g is the gradient times OptimiserStep::scale.
enum class OptimiserKind { sgd, adam, adamw, rmsprop, lbfgs };
inline bool has_second_moment(OptimiserKind kind) {
  return kind == OptimiserKind::adam || kind == OptimiserKind::adamw || kind == OptimiserKind::rmsprop;
}

struct OptimiserOptions {
  OptimiserKind kind = OptimiserKind::sgd;
  bool nesterov = false;             // sgd
  double beta2 = 0.999, eps = 1e-8;  // of those with a second moment
};

// One step of one member. momentum: that of SGD and RMSprop, or beta1. count: steps including this one, from 1.
struct OptimiserStep {
  double lr, momentum, decay;
  int64_t count;
  double scale = 1;
};

// What an optimiser holds of one parameter.
template <typename T>
struct Element {
  T p, first, second;
};

template <typename T, bool nesterov>
struct SgdRule {
  static constexpr bool kSecond = false;
  T lr, momentum, decay, scale;
  PTMZ_MEMBER SgdRule(const OptimiserOptions&, const OptimiserStep& s, bool decays)
      : lr(static_cast<T>(s.lr)),
        momentum(static_cast<T>(s.momentum)),
        decay(static_cast<T>(decays ? s.decay : 0.0)),
        scale(static_cast<T>(s.scale)) {}
  PTMZ_MEMBER Element<T> next(const Element<T>& x, T g) const {
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
  PTMZ_MEMBER AdamRule(const OptimiserOptions& o, const OptimiserStep& s, bool decays)
      : keep(static_cast<T>(decoupled && decays ? 1.0 - s.lr * s.decay : 1.0)),
        pull(static_cast<T>(!decoupled && decays ? s.decay : 0.0)),
        scale(static_cast<T>(s.scale)),
        rate(static_cast<T>(s.lr / (1.0 - std::pow(s.momentum, static_cast<double>(s.count))))),
        beta2(static_cast<T>(o.beta2)),
        rest1(static_cast<T>(1.0 - s.momentum)),
        rest2(static_cast<T>(1.0 - o.beta2)),
        root(static_cast<T>(std::sqrt(1.0 - std::pow(o.beta2, static_cast<double>(s.count))))),
        eps(static_cast<T>(o.eps)) {}
  PTMZ_MEMBER Element<T> next(const Element<T>& x, T gradient) const {
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
  PTMZ_MEMBER RmspropRule(const OptimiserOptions& o, const OptimiserStep& s, bool decays)
      : lr(static_cast<T>(s.lr)),
        momentum(static_cast<T>(s.momentum)),
        decay(static_cast<T>(decays ? s.decay : 0.0)),
        scale(static_cast<T>(s.scale)),
        alpha(static_cast<T>(o.beta2)),
        rest(static_cast<T>(1.0 - o.beta2)),
        eps(static_cast<T>(o.eps)) {}
  PTMZ_MEMBER Element<T> next(const Element<T>& x, T gradient) const {
    const T g = scale * gradient + decay * x.p;
    const T second = alpha * x.second + rest * g * g;
    const T first = momentum * x.first + g / (std::sqrt(second) + eps);
    return {x.p - lr * first, first, second};
  }
};

template <typename T>
inline constexpr T kLargest = std::numeric_limits<T>::max();

// Whether an element may be kept; false for a NaN too. A gradient that is not finite makes the first moment not finite.
template <typename Rule, typename T>
PTMZ_MEMBER bool is_finite(const Element<T>& x) {
  int bad = !(std::fabs(x.p) <= kLargest<T>) | !(std::fabs(x.first) <= kLargest<T>);
  if constexpr (Rule::kSecond) bad |= !(std::fabs(x.second) <= kLargest<T>);
  return !bad;
}

// Calls f with a null pointer to the rule of these options.
template <typename T, typename F>
auto with_rule(const OptimiserOptions& options, const F& f) {
  switch (options.kind) {
    case OptimiserKind::adam:
      return f(static_cast<AdamRule<T, false>*>(nullptr));
    case OptimiserKind::adamw:
      return f(static_cast<AdamRule<T, true>*>(nullptr));
    case OptimiserKind::rmsprop:
      return f(static_cast<RmspropRule<T>*>(nullptr));
    default:
      break;
  }
  if (options.nesterov) return f(static_cast<SgdRule<T, true>*>(nullptr));
  return f(static_cast<SgdRule<T, false>*>(nullptr));
}

}  // namespace ptmz
