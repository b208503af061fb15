// The strong Wolfe line search: bracket a suitable step, then zoom into the bracket.
#include "solvers/line_search.h"

#include <algorithm>
#include <cmath>

namespace ptmz {

namespace {

constexpr double kSufficientDecrease = 1e-4, kCurvature = 0.9;

// Where the cubic through both points' losses and slopes has its minimum, within [low, high]; the middle where it has
// none. With d1 = g1 + g2 - 3 (f1 - f2) / (t1 - t2) and d2 = sqrt(d1^2 - g1 g2), t2 the larger one, that is
// t2 - (t2 - t1) (g2 + d2 - d1) / (g2 - g1 + 2 d2).
double cubic_minimum(const LinePoint& a, const LinePoint& b, double low, double high) {
  const double d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t);
  const double square = d1 * d1 - a.slope * b.slope;
  if (!(square >= 0)) return (low + high) / 2;
  const double d2 = std::sqrt(square);
  const LinePoint &first = a.t <= b.t ? a : b, &last = a.t <= b.t ? b : a;
  const double t = last.t - (last.t - first.t) * ((last.slope + d2 - d1) / (last.slope - first.slope + 2 * d2));
  return std::min(std::max(t, low), high);
}

double cubic_minimum(const LinePoint& a, const LinePoint& b) {
  return cubic_minimum(a, b, std::min(a.t, b.t), std::max(a.t, b.t));
}

}  // namespace

LineSearch strong_wolfe(LinePoint start, double t, double norm, double tolerance_change, int64_t evaluations) {
  const auto too_high = [&](const LinePoint& p) {
    return p.loss > start.loss + kSufficientDecrease * p.t * start.slope;
  };
  const auto flat_enough = [&](const LinePoint& p) { return std::fabs(p.slope) <= -kCurvature * start.slope; };

  LinePoint previous = start, current = co_yield t;
  LinePoint bracket[2];
  int64_t round = 0;  // trials that were decided upon
  for (; round < evaluations; ++round) {
    if (too_high(current) || (round > 1 && current.loss >= previous.loss)) break;
    if (flat_enough(current)) co_return current;
    if (current.slope >= 0) break;
    // Still going down: further out, between a hundredth beyond this step and ten times as far.
    const double next = cubic_minimum(previous, current, current.t + 0.01 * (current.t - previous.t), current.t * 10);
    previous = std::move(current);
    current = co_yield next;
  }
  bracket[0] = round < evaluations ? std::move(previous) : start;
  bracket[1] = std::move(current);

  bool slow = false;  // the last trial was close to an end of the bracket
  int low = bracket[0].loss <= bracket[1].loss ? 0 : 1;
  while (round < evaluations) {
    if (std::fabs(bracket[1].t - bracket[0].t) * norm < tolerance_change) break;
    const auto [left, right] = std::minmax(bracket[0].t, bracket[1].t);
    double next = cubic_minimum(bracket[0], bracket[1]);
    const double margin = 0.1 * (right - left);
    if (std::min(right - next, next - left) < margin) {
      if (slow || next >= right || next <= left) {
        next = std::fabs(next - right) < std::fabs(next - left) ? right - margin : left + margin;
        slow = false;
      } else {
        slow = true;
      }
    } else {
      slow = false;
    }
    LinePoint trial = co_yield next;
    ++round;
    if (too_high(trial) || trial.loss >= bracket[low].loss) {
      bracket[1 - low] = std::move(trial);
      low = bracket[0].loss <= bracket[1].loss ? 0 : 1;
      continue;
    }
    if (flat_enough(trial)) co_return trial;
    // The minimum lies on the other side of the new low point: the old one becomes the far end.
    if (trial.slope * (bracket[1 - low].t - bracket[low].t) >= 0) bracket[1 - low] = std::move(bracket[low]);
    bracket[low] = std::move(trial);
  }
  co_return bracket[low];
}

}  // namespace ptmz
