// HessianOperator: products of one member's Hessian with several directions at once, over any number of samples.
#pragma once
#include <functional>
#include <optional>

#include "solvers/batch_runner.h"

namespace ptmz {

struct HessianOptions {
  // Evaluation-mode programs: params, buffers, x and y shared (one row), v and hv with one row per direction. What does
  // not depend on the direction, the gradient above all, is then computed once for all of them.
  BatchProgram batch, tail;
  Dataset data;
  const Vector* params = nullptr;   // (P,n)
  const Vector* buffers = nullptr;  // (P,b); null where the model has none
  RunOptions run;                   // threads, memory_limit, stop
};

class HessianOperator {
 public:
  explicit HessianOperator(const HessianOptions& options);
  int64_t size() const { return o_.params->size(); }
  int64_t batches() const;
  // The member whose Hessian apply() multiplies with.
  void select(int64_t member);
  // result (k,n) = H v for v (k,n) on the host, H the Hessian of the mean loss over all samples, summed in float64.
  // `progress` is called after every batch, of a device as soon as it was given. Throws NON_FINITE, naming the member,
  // where the result is not finite.
  void apply(Vector& v, std::vector<double>& result, const std::function<void()>& progress = nullptr);

 private:
  void reserve(const Vector& v);

  const HessianOptions& o_;
  RunOptions run_;
  const std::unique_ptr<BatchRunner> batches_;
  std::optional<Vector> directions_, products_, sums_;  // directions: of a device
  int64_t member_ = 0;
};

// v (n) into a row of `to`, rounded to its element type.
void write_row(const double* v, Vector& to, int64_t row);

// H v for every member: directions (P,n) in the dtype of the parameters, result (P,n) float64.
void hessian_vector_product(const HessianOptions& options, const Vector& directions, Vector& result,
                            const std::function<void(double)>& progress);

}  // namespace ptmz
