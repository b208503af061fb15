// Iterations of L-BFGS: directions from pairs of steps and gradient changes, all members' line searches in step.
#include "solvers/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "ir/error.h"
#include "runtime/executor.h"
#include "solvers/line_search.h"

namespace ptmz {

namespace {

constexpr double kLeastCurvature = 1e-10;  // a pair with a smaller y s is not kept
constexpr int kLanes = 8;

// Each loop is compiled twice and the processor decides: with AVX2 it is twice as fast. That has no fused multiply-add,
// so both give the same bits.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define PTMZ_TWICE __attribute__((target_clones("avx2", "default")))
#else
#define PTMZ_TWICE
#endif

// In float64 and in an order of its own, the same for any number of threads.
template <typename T>
inline __attribute__((always_inline)) double dot_of(const T* a, const T* b, int64_t n) {
  double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) sums[k] += static_cast<double>(a[i + k]) * static_cast<double>(b[i + k]);
  for (; i < n; ++i) sums[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

PTMZ_TWICE double dot(const float* a, const float* b, int64_t n) { return dot_of(a, b, n); }
PTMZ_TWICE double dot(const double* a, const double* b, int64_t n) { return dot_of(a, b, n); }

template <typename T>
double largest(const T* a, int64_t n) {
  T max = 0;
  for (int64_t i = 0; i < n; ++i) max = std::max(max, std::fabs(a[i]));
  return static_cast<double>(max);
}

template <typename T>
inline __attribute__((always_inline)) void add_scaled_of(T* a, double factor, const T* b, int64_t n) {
  const T f = static_cast<T>(factor);
  for (int64_t i = 0; i < n; ++i) a[i] += f * b[i];
}
PTMZ_TWICE void add_scaled(float* a, double f, const float* b, int64_t n) { add_scaled_of(a, f, b, n); }
PTMZ_TWICE void add_scaled(double* a, double f, const double* b, int64_t n) { add_scaled_of(a, f, b, n); }

template <typename T>
bool all_finite(const T* a, int64_t n) {
  T bad = 0;
  for (int64_t i = 0; i < n; ++i) bad += a[i] * 0;  // NaN for NaN and for infinities
  return bad == 0;
}

// The pairs of a member, oldest first.
template <typename T>
struct Pairs {
  T* base;
  double* scalars;
  int64_t n, history;

  int64_t count() const { return static_cast<int64_t>(scalars[kLbfgsPairs]); }
  int64_t place(int64_t i) const {
    return (static_cast<int64_t>(scalars[kLbfgsNext]) - count() + i + history) % history;
  }
  T* step(int64_t place) const { return base + 2 * place * n; }
  T* change(int64_t place) const { return step(place) + n; }
  double& inverse(int64_t place) const { return scalars[kLbfgsColumns + place]; }

  // Keeps s = t d and y = after - before unless the curvature along s is too small.
  void add(double t, const T* direction, const T* before, const T* after) const {
    const int64_t at = static_cast<int64_t>(scalars[kLbfgsNext]);
    // A place of its own first: the pair may be rejected, and a full history must not lose its oldest to it.
    std::vector<T> s(direction, direction + n), y(after, after + n);
    const T length = static_cast<T>(t);
    for (int64_t i = 0; i < n; ++i) {
      s[i] *= length;
      y[i] -= before[i];
    }
    const double curvature = dot(y.data(), s.data(), n);
    if (!(curvature > kLeastCurvature)) return;
    std::copy(s.begin(), s.end(), step(at));
    std::copy(y.begin(), y.end(), change(at));
    inverse(at) = 1 / curvature;
    scalars[kLbfgsScale] = curvature / dot(y.data(), y.data(), n);
    scalars[kLbfgsNext] = static_cast<double>((at + 1) % history);
    scalars[kLbfgsPairs] = static_cast<double>(std::min(count() + 1, history));
  }

  // -H g by the two loops of Nocedal 1980.
  void direction(const T* gradient, T* out) const {
    for (int64_t i = 0; i < n; ++i) out[i] = -gradient[i];
    std::vector<double> alpha(count());
    for (int64_t i = count() - 1; i >= 0; --i) {
      const int64_t at = place(i);
      alpha[i] = dot(step(at), out, n) * inverse(at);
      add_scaled(out, -alpha[i], change(at), n);
    }
    const T scale = static_cast<T>(scalars[kLbfgsScale]);
    for (int64_t i = 0; i < n; ++i) out[i] *= scale;
    for (int64_t i = 0; i < count(); ++i) {
      const int64_t at = place(i);
      const double beta = dot(change(at), out, n) * inverse(at);
      add_scaled(out, alpha[i] - beta, step(at), n);
    }
  }
};

// Calls f(T{}) for the dtype.
template <typename F>
auto with_type(DType dtype, const F& f) {
  return dtype == DType::f32 ? f(float{}) : f(double{});
}

}  // namespace

Lbfgs::Lbfgs(const LbfgsOptions& options, const LbfgsState& state)
    : options_(options),
      state_(state),
      trial_(state.params->dtype(), state.params->rows(), state.params->size()),
      direction_(state.params->dtype(), state.params->rows(), state.params->size()) {
  const Vector& p = *state.params;
  const auto fits = [&](const Vector* v, DType dtype, int64_t size) {
    return v && v->dtype() == dtype && v->rows() == p.rows() && v->size() == size;
  };
  if (options.history < 1 || options.evaluations < 1)
    throw Error("INVALID_ARGUMENT", "L-BFGS: expected a history and line searches of 1 or more");
  if (!fits(state.gradient, p.dtype(), p.size()) || !fits(state.pairs, p.dtype(), 2 * options.history * p.size()) ||
      !fits(state.scalars, DType::f64, kLbfgsColumns + options.history)) {
    throw Error("INVALID_ARGUMENT", "L-BFGS: the gradient, the pairs or the scalars do not fit the parameters");
  }
}

std::vector<int64_t> Lbfgs::iterate(const std::vector<int64_t>& members, const std::vector<double>& lr, int threads,
                                    const Evaluate& evaluate) {
  const int64_t n = state_.params->size(), bytes = n * dtype_bytes(state_.params->dtype());
  const auto typed = [&](const auto& f) { return with_type(state_.params->dtype(), f); };
  std::vector<double> losses(state_.params->rows());
  const Vector* gradients = nullptr;

  // What is known of a member before anything of it moves.
  struct Search {
    int64_t member;
    double loss = 0, scale = 1, evaluations = 0;
    LinePoint start = {};
    std::optional<LineSearch> line = {};
    bool done = false, failed = false;
  };
  std::vector<Search> searches;
  for (const int64_t m : members) searches.push_back({.member = m});
  const auto copy_of = [&](const void* row) {
    std::shared_ptr<char[]> copy(new char[bytes]);
    std::memcpy(copy.get(), row, bytes);
    return copy;
  };

  // Loss and gradient of members that have none yet.
  std::vector<int64_t> fresh;
  for (const int64_t m : members)
    if (row(m)[kLbfgsEvaluations] == 0) fresh.push_back(m);
  if (!fresh.empty()) {
    for (size_t r = 0; r < fresh.size(); ++r) std::memcpy(trial_.row(r), state_.params->row(fresh[r]), bytes);
    evaluate(fresh, trial_, losses, gradients);
    for (size_t r = 0; r < fresh.size(); ++r) {
      double* scalars = row(fresh[r]);
      std::memcpy(state_.gradient->row(fresh[r]), gradients->row(r), bytes);
      scalars[kLbfgsLoss] = losses[r];
      scalars[kLbfgsEvaluations] = 1;
      scalars[kLbfgsScale] = 1;
    }
  }

  parallel_for(threads, static_cast<int64_t>(searches.size()), [&](int64_t i, int) {
    Search& s = searches[i];
    double* scalars = row(s.member);
    typed([&]<typename T>(T) {
      const T* gradient = state_.gradient->as<T>(s.member);
      T* direction = direction_.as<T>(s.member);
      if (!std::isfinite(scalars[kLbfgsLoss]) || !all_finite(gradient, n)) {
        s.failed = true;
        return;
      }
      Pairs<T>{state_.pairs->as<T>(s.member), scalars, n, options_.history}.direction(gradient, direction);
      const double slope = dot(gradient, direction, n);
      s.done = largest(gradient, n) <= options_.tolerance_grad || slope > -options_.tolerance_change;
      if (s.done) return;
      double t = lr[s.member];
      if (scalars[kLbfgsIterations] == 0) {
        double sum = 0;
        for (int64_t k = 0; k < n; ++k) sum += std::fabs(static_cast<double>(gradient[k]));
        t *= std::min(1.0, 1 / sum);
      }
      s.start = {0, scalars[kLbfgsLoss], slope, copy_of(gradient)};
      s.line = strong_wolfe(s.start, t, largest(direction, n), options_.tolerance_change, options_.evaluations);
    });
  });

  for (;;) {
    std::vector<Search*> waiting;
    std::vector<int64_t> who;
    for (Search& s : searches) {
      if (!s.line || s.line->done()) continue;
      waiting.push_back(&s);
      who.push_back(s.member);
    }
    if (waiting.empty()) break;
    const int64_t count = static_cast<int64_t>(waiting.size());
    parallel_for(threads, count, [&](int64_t r, int) {
      typed([&]<typename T>(T) {
        std::memcpy(trial_.row(r), state_.params->row(who[r]), bytes);
        add_scaled(trial_.as<T>(r), waiting[r]->line->wanted(), direction_.as<T>(who[r]), n);
      });
    });
    evaluate(who, trial_, losses, gradients);
    parallel_for(threads, count, [&](int64_t r, int) {
      typed([&]<typename T>(T) {
        Search& s = *waiting[r];
        const double slope = dot(gradients->as<T>(r), static_cast<const T*>(direction_.as<T>(who[r])), n);
        ++s.evaluations;
        s.line->resume({s.line->wanted(), losses[r], slope, copy_of(gradients->row(r))});
      });
    });
  }

  // Now all members move, or stay where they were.
  parallel_for(threads, static_cast<int64_t>(searches.size()), [&](int64_t i, int) {
    Search& s = searches[i];
    double* scalars = row(s.member);
    if (s.done) scalars[kLbfgsDone] = 1;
    if (s.failed || s.done) return;
    typed([&]<typename T>(T) {
      const LinePoint& found = s.line->result();
      const T* gradient = reinterpret_cast<const T*>(found.gradient.get());
      T *params = state_.params->as<T>(s.member), *direction = direction_.as<T>(s.member);
      std::vector<T> next(params, params + n);
      add_scaled(next.data(), found.t, static_cast<const T*>(direction), n);
      if (!std::isfinite(found.loss) || !all_finite(gradient, n) || !all_finite(next.data(), n)) {
        s.failed = true;
        return;
      }
      Pairs<T>{state_.pairs->as<T>(s.member), scalars, n, options_.history}.add(
          found.t, direction, state_.gradient->as<T>(s.member), gradient);
      std::copy(next.begin(), next.end(), params);
      std::memcpy(state_.gradient->row(s.member), gradient, bytes);
      const double change = std::fabs(found.loss - scalars[kLbfgsLoss]);
      scalars[kLbfgsLoss] = found.loss;
      scalars[kLbfgsStep] = found.t;
      scalars[kLbfgsIterations] += 1;
      scalars[kLbfgsEvaluations] += s.evaluations;
      const double moved = largest(direction, n) * std::fabs(found.t);
      scalars[kLbfgsDone] = largest(gradient, n) <= options_.tolerance_grad || moved <= options_.tolerance_change ||
                            change < options_.tolerance_change;
    });
  });
  std::vector<int64_t> failed;
  for (const Search& s : searches)
    if (s.failed) failed.push_back(s.member);
  return failed;
}

}  // namespace ptmz
