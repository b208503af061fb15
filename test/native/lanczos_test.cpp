// Lanczos and its tridiagonal eigenproblem, without programs.
#include "solvers/lanczos.h"

#include <limits>

#include "check.h"
#include "ir/error.h"
#include "solvers/tridiagonal.h"

namespace ptmz {
namespace {

TEST(tridiagonal_eigenvalues_are_those_of_numpy) {
  // numpy.linalg.eigh of diag(4,-1,2.5,0,7,1e-3) with 1,2,0.5,-3,0.25 beside it.
  const TridiagonalEigen eigen = tridiagonal_eigen({4, -1, 2.5, 0, 7, 1e-3}, {1, 2, 0.5, -3, 0.25});
  const std::vector<double> values = {-2.0831665243411353, -1.1203693430032866, 0.0007007870095217724,
                                      3.2578536684481905,  4.323602238767096,   8.122379173119612};
  const std::vector<double> first = {0.14487596063535213, 0.04170097766792003, 0.0028167193229022055,
                                     0.41055982694059967, 0.8992782113807513,  0.0018378308196073945};
  const std::vector<double> last = {0.007388572877074854, 0.07563669950049781,   0.9966796258025431,
                                    0.004626252422979955, 0.0013662758982208845, 0.028826260047098446};
  for (size_t i = 0; i < values.size(); ++i) {
    CHECK_CLOSE(eigen.values[i], values[i], 1e-13);
    CHECK_CLOSE(std::fabs(eigen.first[i]), first[i], 1e-13);
    CHECK_CLOSE(std::fabs(eigen.last[i]), last[i], 1e-13);
  }
}

TEST(tridiagonal_edges) {
  CHECK(tridiagonal_eigen({}, {}).values.empty());
  const TridiagonalEigen one = tridiagonal_eigen({3}, {9});
  CHECK(one.values == std::vector<double>{3} && one.first[0] == 1 && one.last[0] == 1);
  CHECK(tridiagonal_eigen({0, 0, 0}, {0, 0}).values == (std::vector<double>{0, 0, 0}));
  const TridiagonalEigen pair = tridiagonal_eigen({0, 0}, {2});
  CHECK_CLOSE(pair.values[0], -2, 1e-15);
  CHECK_CLOSE(pair.values[1], 2, 1e-15);
  // Blocks stay apart: the first block has nothing in the last row.
  const TridiagonalEigen blocks = tridiagonal_eigen({1, 2, 30, 40}, {0.5, 0, 0.5});
  CHECK(blocks.last[0] == 0 && blocks.last[1] == 0 && blocks.first[2] == 0 && blocks.first[3] == 0);
  bool threw = false;
  try {
    tridiagonal_eigen({std::numeric_limits<double>::quiet_NaN()}, {});
  } catch (const Error& error) {
    threw = error.code() == "NON_FINITE";
  }
  CHECK(threw);
}

TEST(tridiagonal_weights_of_a_long_matrix_sum_to_one) {
  // The Chebyshev matrix: eigenvalues 2 cos(k pi / (m + 1)).
  const int m = 200;
  const TridiagonalEigen eigen = tridiagonal_eigen(std::vector<double>(m, 0.0), std::vector<double>(m - 1, 1.0));
  double sum = 0, worst = 0;
  for (int i = 0; i < m; ++i) {
    sum += eigen.first[i] * eigen.first[i];
    worst = std::max(worst, std::fabs(eigen.values[i] + 2 * std::cos((i + 1) * 3.14159265358979323846 / (m + 1))));
  }
  CHECK_CLOSE(sum, 1, 1e-12);
  CHECK(worst < 1e-13);
}

TEST(lanczos_exhausts_a_space_and_goes_on_in_another) {
  // H = diag(3, 3, 1): one start sees 3 and 1, the restart the other 3.
  const double diagonal[3] = {3, 3, 1};
  const double start[3] = {1, 1, 1};
  Lanczos lanczos(3, start, 1e-13, 1);
  const auto step = [&] {
    double w[3];
    for (int i = 0; i < 3; ++i) w[i] = diagonal[i] * lanczos.current()[i];
    return lanczos.step(w);
  };
  CHECK(step());
  CHECK(!step());
  double next[3] = {1, -2, 5};
  CHECK(lanczos.restart(next));
  CHECK(!step());
  const TridiagonalEigen eigen = tridiagonal_eigen(lanczos.diagonal(), lanczos.off());
  for (int i = 0; i < 3; ++i) CHECK_CLOSE(eigen.values[i], (i == 0 ? 1 : 3), 1e-14);
  double inside[3] = {4, 5, 6};
  CHECK(!lanczos.restart(inside));
}

}  // namespace
}  // namespace ptmz
