// LbfgsPairs: the last steps of a member of L-BFGS with the changes of its gradient, and the direction they say to go.
#pragma once
#include <cstdint>
#include <vector>

namespace ptmz {

// Columns of LbfgsState::scalars, one row per member; behind them 1 / (y s) of every pair, by place.
enum LbfgsColumn : int {
  kLbfgsLoss,   // at the parameters
  kLbfgsScale,  // of the first approximation of the inverse Hessian
  kLbfgsPairs,  // stored
  kLbfgsNext,   // the place of the next pair
  kLbfgsIterations,
  kLbfgsEvaluations,  // of loss and gradient; 0: there is no gradient yet
  kLbfgsStep,         // t of the last iteration
  kLbfgsDone,         // 1 once a tolerance is met
  kLbfgsColumns
};

// What the pairs of a member are to each other, by place: s_i . y_j where i is the older, and y_i . y_j. It follows
// from the pairs, so it is never saved.
struct PairProducts {
  std::vector<double> sy, yy;  // (history, history)
  std::vector<bool> known;     // those with y_j
};

// A view of the vectors that hold it all; cheap to make.
template <typename T>
class LbfgsPairs {
 public:
  // base (history, 2, n): by place s and y; scalars: the columns above, and 1 / (y s) by place behind them.
  LbfgsPairs(T* base, double* scalars, int64_t n, int64_t history, PairProducts& products);

  // Keeps s = t d and y = after - before unless the curvature along s is too small.
  void add(double t, const T* direction, const T* before, const T* after);
  // out = -H gradient by the two loops of Nocedal 1980, on inner products instead of vectors.
  void direction(const T* gradient, T* out);

 private:
  int64_t count() const { return static_cast<int64_t>(scalars_[kLbfgsPairs]); }
  std::vector<int64_t> places() const;  // oldest first
  T* step(int64_t place) const { return base_ + 2 * place * n_; }
  T* change(int64_t place) const { return step(place) + n_; }
  double inverse(int64_t place) const { return scalars_[kLbfgsColumns + place]; }
  std::vector<double> inner_products(const std::vector<int64_t>& places, const T* gradient);

  T* const base_;
  double* const scalars_;
  const int64_t n_, history_;
  PairProducts& products_;
};

}  // namespace ptmz
