// Implicit QL: each sweep chases a bulge of rotations up the matrix; only two rows of the eigenvectors are kept.
#include "solvers/tridiagonal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ir/error.h"

namespace ptmz {

namespace {

struct Sweeper {
  std::vector<double>&d, &e;
  std::vector<double>&first, &last;

  // Columns i and i + 1 of the eigenvectors, rotated by (c, s).
  static void rotate(std::vector<double>& row, size_t i, double c, double s) {
    const double a = row[i], b = row[i + 1];
    row[i] = c * a - s * b;
    row[i + 1] = s * a + c * b;
  }

  // The end of the block that begins at `begin`: no coupling to what comes after it.
  size_t block_end(size_t begin) const {
    const double epsilon = std::numeric_limits<double>::epsilon();
    size_t end = begin;
    while (end + 1 < d.size() && std::fabs(e[end]) > epsilon * (std::fabs(d[end]) + std::fabs(d[end + 1]))) ++end;
    return end;
  }

  // One sweep over rows [begin, end]; e[begin] shrinks.
  void sweep(size_t begin, size_t end) {
    const double half = (d[begin + 1] - d[begin]) / (2 * e[begin]);
    const double shift = d[begin] - e[begin] / (half + std::copysign(std::hypot(half, 1.0), half));
    double s = 1, c = 1, p = 0, g = d[end] - shift;
    for (size_t i = end; i-- > begin;) {
      const double f = s * e[i], b = c * e[i];
      const double r = std::hypot(f, g);
      e[i + 1] = r;
      if (r == 0) {  // the matrix falls apart here
        d[i + 1] -= p;
        e[end] = 0;
        return;
      }
      s = f / r;
      c = g / r;
      g = d[i + 1] - p;
      const double q = (d[i] - g) * s + 2 * c * b;
      p = s * q;
      d[i + 1] = g + p;
      g = c * q - b;
      rotate(first, i, c, s);
      rotate(last, i, c, s);
    }
    d[begin] -= p;
    e[begin] = g;
    e[end] = 0;
  }
};

std::vector<double> permuted(const std::vector<double>& values, const std::vector<size_t>& order) {
  std::vector<double> result;
  for (size_t i : order) result.push_back(values[i]);
  return result;
}

}  // namespace

TridiagonalEigen tridiagonal_eigen(const std::vector<double>& diagonal, const std::vector<double>& off) {
  const size_t m = diagonal.size();
  if (m == 0) return {};
  std::vector<double> d = diagonal, e(off.begin(), off.begin() + (m - 1));
  e.push_back(0);
  for (size_t i = 0; i < m; ++i) {
    if (!std::isfinite(d[i]) || !std::isfinite(e[i])) throw Error("NON_FINITE", "a tridiagonal matrix is not finite");
  }
  std::vector<double> first(m, 0.0), last(m, 0.0);
  first.front() = last.back() = 1;
  Sweeper sweeper{d, e, first, last};
  for (size_t begin = 0; begin < m; ++begin) {
    for (int sweeps = 0;; ++sweeps) {
      const size_t end = sweeper.block_end(begin);
      if (end == begin) break;
      if (sweeps == 100) throw Error("INTERNAL", "a tridiagonal matrix has no eigenvalues after 100 sweeps");
      sweeper.sweep(begin, end);
    }
  }
  std::vector<size_t> order(m);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return d[a] != d[b] ? d[a] < d[b] : a < b; });
  return {permuted(d, order), permuted(first, order), permuted(last, order)};
}

}  // namespace ptmz
