// Hessian-vector products, batch by batch, weighted by the size of the batch.
#include "solvers/hessian.h"

#include <cmath>
#include <cstring>

#include "ir/error.h"

namespace ptmz {

namespace {

void copy_row(const Vector* from, int64_t row, const BatchProgram& program, int slot) {
  const Vector* to = program.at(slot);
  if (!program.executor || !to) return;
  if (!from || to->size() != from->size() || to->dtype() != from->dtype() || to->rows() != 1) {
    throw Error("INVALID_ARGUMENT", "the Hessian program's parameters or buffers do not fit those of the population");
  }
  std::memcpy(to->row(0), from->row(row), to->size() * dtype_bytes(to->dtype()));
}

}  // namespace

HessianOperator::HessianOperator(const HessianOptions& options)
    : o_(options), normaliser_(options.data), run_(options.run) {
  check_batches(o_.batch, o_.tail, o_.data, 1);
}

int64_t HessianOperator::batches() const {
  return o_.batch.executor ? (o_.data.count + o_.batch.batch - 1) / o_.batch.batch : 1;
}

void HessianOperator::select(int64_t member) {
  member_ = member;
  for (const BatchProgram* program : {&o_.batch, &o_.tail}) {
    copy_row(o_.params, member, *program, program->params);
    copy_row(o_.buffers, member, *program, program->buffers);
  }
}

void HessianOperator::apply(Vector& v, std::vector<double>& result, const std::function<void()>& progress) {
  const int64_t k = v.rows(), n = v.size();
  result.assign(k * n, 0.0);
  run_.members = k;
  Vector hv(v.dtype(), k, n);
  for_each_batch(o_.batch, o_.tail, o_.data.count, [&](const BatchProgram& program, int64_t first) {
    if (run_.stop && run_.stop->load()) throw Error("ABORTED", "Hessian-vector product aborted");
    if (program.v < 0) return;  // the gradient is constant
    load_batch(program, o_.data, normaliser_, nullptr, first, 0);
    std::vector<Vector*> vectors = program.vectors;
    vectors[program.v] = &v;
    vectors[program.hv] = &hv;
    program.executor->run(vectors, run_);
    const double weight = static_cast<double>(program.batch) / static_cast<double>(o_.data.count);
    parallel_for(run_.threads > 0 ? run_.threads : hardware_threads(), k, [&](int64_t row, int) {
      double* sum = result.data() + row * n;
      for (int64_t i = 0; i < n; ++i) sum[i] += weight * read_real(hv, row, i);
    });
    if (progress) progress();
  });
  for (double x : result) {
    if (std::isfinite(x)) continue;
    throw Error("NON_FINITE", "the Hessian of member " + std::to_string(member_) +
                                  " is not finite on these samples: its loss or a derivative is NaN or infinite");
  }
}

void write_row(const double* v, Vector& to, int64_t row) {
  if (to.dtype() == DType::f64) {
    std::memcpy(to.row(row), v, to.size() * sizeof(double));
    return;
  }
  float* target = to.as<float>(row);
  for (int64_t i = 0; i < to.size(); ++i) target[i] = static_cast<float>(v[i]);
}

void hessian_vector_product(const HessianOptions& options, const Vector& directions, Vector& result,
                            const std::function<void(double)>& progress) {
  const Vector& params = *options.params;
  if (directions.rows() != params.rows() || directions.size() != params.size() || result.rows() != params.rows() ||
      result.size() != params.size() || result.dtype() != DType::f64 || directions.dtype() != params.dtype()) {
    throw Error("INVALID_ARGUMENT", "hvp: directions and result must be laid out as the parameters, result in float64");
  }
  HessianOperator hessian(options);
  Vector v(directions.dtype(), 1, directions.size());
  std::vector<double> product;
  int64_t done = 0;
  for (int64_t m = 0; m < params.rows(); ++m) {
    hessian.select(m);
    std::memcpy(v.row(0), directions.row(m), directions.size() * dtype_bytes(directions.dtype()));
    hessian.apply(v, product, [&] {
      if (progress) progress(++done / static_cast<double>(hessian.batches() * params.rows()));
    });
    std::memcpy(result.row(m), product.data(), product.size() * sizeof(double));
  }
}

}  // namespace ptmz
