// Iterations of L-BFGS: directions from pairs of steps and gradient changes, all members' line searches in step.
#include "solvers/lbfgs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>

#include "backend/cpu/simd.h"
#include "ir/error.h"
#include "runtime/executor.h"
#include "solvers/line_search.h"

namespace ptmz {

namespace {

template <typename T>
double dot(const T* a, const T* b, int64_t n) {
  double product;
  double* out = &product;
  cpu::kernels().rows<T>().inner_products(&a, 1, &b, 1, n, &out);
  return product;
}

template <typename T>
void add_scaled(T* a, double factor, const T* b, int64_t n) {
  cpu::kernels().rows<T>().add_rows(a, &b, &factor, 1, n);
}

// Folds every element into one of a few lanes: f(lane, element) of vectors and of what is left over.
template <typename T, typename F>
std::array<T, 16> fold(const T* a, int64_t n, const F& f) {
  typedef T Vector __attribute__((vector_size(16)));
  constexpr int64_t vectors = 16 * sizeof(T) / sizeof(Vector), width = 16 / vectors;
  Vector folded[vectors] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t v = 0; v < vectors; ++v) {
      Vector x;
      std::memcpy(&x, a + i + v * width, sizeof x);
      folded[v] = f(folded[v], x);
    }
  std::array<T, 16> lanes;
  std::memcpy(lanes.data(), folded, sizeof lanes);
  for (; i < n; ++i) lanes[0] = f(lanes[0], a[i]);
  return lanes;
}

template <typename T>
double largest(const T* a, int64_t n) {
  const std::array<T, 16> lanes = fold(a, n, [](auto max, const auto& x) {
    max = x > max ? x : max;
    return -x > max ? -x : max;
  });
  return static_cast<double>(*std::max_element(lanes.begin(), lanes.end()));
}

template <typename T>
bool all_finite(const T* a, int64_t n) {
  const std::array<T, 16> lanes = fold(a, n, [](const auto& bad, const auto& x) { return bad + x * T{0}; });
  return std::all_of(lanes.begin(), lanes.end(), [](T bad) { return bad == 0; });  // NaN for NaN and for infinities
}

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
      direction_(state.params->dtype(), state.params->rows(), state.params->size()),
      products_(state.params->rows()) {
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

template <typename T>
LbfgsPairs<T> Lbfgs::pairs_of(int64_t m) {
  return {state_.pairs->as<T>(m), row(m), state_.params->size(), options_.history, products_[m]};
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
      pairs_of<T>(s.member).direction(gradient, direction);
      const double slope = dot<T>(gradient, direction, n);
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
        add_scaled<T>(trial_.as<T>(r), waiting[r]->line->wanted(), direction_.as<T>(who[r]), n);
      });
    });
    evaluate(who, trial_, losses, gradients);
    parallel_for(threads, count, [&](int64_t r, int) {
      typed([&]<typename T>(T) {
        Search& s = *waiting[r];
        const double slope = dot<T>(gradients->as<T>(r), direction_.as<T>(who[r]), n);
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
      add_scaled<T>(next.data(), found.t, direction, n);
      if (!std::isfinite(found.loss) || !all_finite(gradient, n) || !all_finite(next.data(), n)) {
        s.failed = true;
        return;
      }
      pairs_of<T>(s.member).add(found.t, direction, state_.gradient->as<T>(s.member), gradient);
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
