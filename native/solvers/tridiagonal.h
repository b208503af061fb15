// Eigenvalues of a symmetric tridiagonal matrix, with the first and last components of its eigenvectors.
#pragma once
#include <vector>

namespace ptmz {

struct TridiagonalEigen {
  std::vector<double> values;       // ascending
  std::vector<double> first, last;  // of the normalised eigenvectors, in the order of the values
};

// `diagonal` (m), `off` (m - 1 or more; the rest is not read). Implicit QL with Wilkinson's shift (Golub and Van Loan,
// Matrix Computations, 8.3). Throws NON_FINITE where an entry is NaN or infinite.
TridiagonalEigen tridiagonal_eigen(const std::vector<double>& diagonal, const std::vector<double>& off);

}  // namespace ptmz
