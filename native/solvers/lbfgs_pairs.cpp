// The history of L-BFGS. Its vectors are read twice for a direction: for their inner products with the gradient and
// with the newest y, and for the sum that the direction is. Between these all is said in numbers, as in Byrd, Nocedal
// and Schnabel (1994): with q = -g - sum alpha_j y_j and r = scale q + sum (alpha_j - beta_j) s_j the two loops need
//   s_i . q = -s_i . g - sum over newer j of alpha_j s_i . y_j
//   y_i . r = scale (-y_i . g - sum over all j of alpha_j y_i . y_j) + sum over older j of (alpha_j - beta_j) s_j . y_i
#include "solvers/lbfgs_pairs.h"

#include <algorithm>

#include "backend/cpu/simd.h"

namespace ptmz {
namespace {

constexpr double kLeastCurvature = 1e-10;  // a pair with a smaller y s is not kept

}  // namespace

template <typename T>
LbfgsPairs<T>::LbfgsPairs(T* base, double* scalars, int64_t n, int64_t history, PairProducts& products)
    : base_(base), scalars_(scalars), n_(n), history_(history), products_(products) {
  if (!products_.known.empty()) return;
  products_.sy.resize(history * history);
  products_.yy.resize(history * history);
  products_.known.resize(history);
}

template <typename T>
void LbfgsPairs<T>::add(double t, const T* direction, const T* before, const T* after) {
  // A place of its own first: the pair may be rejected, and a full history must not lose its oldest to it.
  std::vector<T> s(n_), y(n_);
  const T length = static_cast<T>(t);
  for (int64_t i = 0; i < n_; ++i) {
    s[i] = length * direction[i];
    y[i] = after[i] - before[i];
  }
  const T *rows[] = {s.data(), y.data()}, *target = y.data();
  double products[2];
  double* out = products;
  cpu::kernels().rows<T>().inner_products(rows, 2, &target, 1, n_, &out);
  const double curvature = products[0];
  if (!(curvature > kLeastCurvature)) return;
  const int64_t at = static_cast<int64_t>(scalars_[kLbfgsNext]);
  std::copy(s.begin(), s.end(), step(at));
  std::copy(y.begin(), y.end(), change(at));
  products_.known[at] = false;
  scalars_[kLbfgsColumns + at] = 1 / curvature;
  scalars_[kLbfgsScale] = curvature / products[1];
  scalars_[kLbfgsNext] = static_cast<double>((at + 1) % history_);
  scalars_[kLbfgsPairs] = static_cast<double>(std::min(count() + 1, history_));
}

template <typename T>
std::vector<int64_t> LbfgsPairs<T>::places() const {
  std::vector<int64_t> places(count());
  for (int64_t i = 0; i < count(); ++i)
    places[i] = (static_cast<int64_t>(scalars_[kLbfgsNext]) - count() + i + history_) % history_;
  return places;
}

// s_i . g and y_i . g in turn, oldest first; and what is not known of the pairs.
template <typename T>
std::vector<double> LbfgsPairs<T>::inner_products(const std::vector<int64_t>& places, const T* gradient) {
  std::vector<const T*> rows;
  std::vector<int64_t> unknown;
  for (const int64_t at : places) {
    rows.insert(rows.end(), {step(at), change(at)});
    if (!products_.known[at]) unknown.push_back(at);
  }
  std::vector<double> with_gradient(rows.size()), with_change(rows.size());
  const auto multiply = [&](const std::vector<const T*>& targets, const std::vector<double*>& out) {
    const int count = static_cast<int>(targets.size());
    cpu::kernels().rows<T>().inner_products(rows.data(), static_cast<int64_t>(rows.size()), targets.data(), count, n_,
                                            out.data());
  };
  if (unknown.empty()) multiply({gradient}, {with_gradient.data()});
  for (const int64_t at : unknown) {
    if (at == unknown.back())
      multiply({gradient, change(at)}, {with_gradient.data(), with_change.data()});
    else
      multiply({change(at)}, {with_change.data()});
    for (size_t i = 0; i < places.size(); ++i) {
      products_.sy[places[i] * history_ + at] = with_change[2 * i];
      products_.yy[places[i] * history_ + at] = products_.yy[at * history_ + places[i]] = with_change[2 * i + 1];
    }
    products_.known[at] = true;
  }
  return with_gradient;
}

template <typename T>
void LbfgsPairs<T>::direction(const T* gradient, T* out) {
  const std::vector<int64_t> at = places();
  const std::vector<double> g = inner_products(at, gradient);
  const int64_t count = static_cast<int64_t>(at.size());
  const double scale = scalars_[kLbfgsScale];
  const auto sy = [&](int64_t older, int64_t newer) { return products_.sy[at[older] * history_ + at[newer]]; };
  std::vector<double> alpha(count), weight(count);  // of y_i and of s_i
  for (int64_t i = count - 1; i >= 0; --i) {
    double s_q = -g[2 * i];
    for (int64_t j = i + 1; j < count; ++j) s_q -= alpha[j] * sy(i, j);
    alpha[i] = s_q * inverse(at[i]);
  }
  for (int64_t i = 0; i < count; ++i) {
    double y_q = -g[2 * i + 1], y_s = 0;
    for (int64_t j = 0; j < count; ++j) y_q -= alpha[j] * products_.yy[at[i] * history_ + at[j]];
    for (int64_t j = 0; j < i; ++j) y_s += weight[j] * sy(j, i);
    weight[i] = alpha[i] - (scale * y_q + y_s) * inverse(at[i]);
  }

  // The newest first: they were read last.
  std::vector<const T*> rows;
  std::vector<double> factors;
  for (int64_t i = count - 1; i >= 0; --i) {
    rows.insert(rows.end(), {change(at[i]), step(at[i])});
    factors.insert(factors.end(), {-scale * alpha[i], weight[i]});
  }
  const T first = static_cast<T>(-scale);
  for (int64_t i = 0; i < n_; ++i) out[i] = first * gradient[i];
  cpu::kernels().rows<T>().add_rows(out, rows.data(), factors.data(), static_cast<int64_t>(rows.size()), n_);
}

template class LbfgsPairs<float>;
template class LbfgsPairs<double>;

}  // namespace ptmz
