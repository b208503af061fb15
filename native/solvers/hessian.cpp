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
  program.at(slot)->copy_row(0, *from, row);
}

}  // namespace

HessianOperator::HessianOperator(const HessianOptions& options)
    : o_(options), run_(options.run), batches_(open_batches(options.data, device_of(options.batch, options.tail))) {
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

// Room for k directions; kept from call to call, so that a device finds the same addresses again.
void HessianOperator::reserve(const Vector& v) {
  if (sums_ && sums_->rows() == v.rows()) return;
  for (std::optional<Vector>* vector : {&directions_, &products_, &sums_}) vector->reset();
  const Device* device = batches_->device();
  if (device) directions_.emplace(v.dtype(), v.rows(), v.size(), device);
  products_.emplace(v.dtype(), v.rows(), v.size(), device);
  sums_.emplace(DType::f64, v.rows(), v.size(), device);
}

void HessianOperator::apply(Vector& v, std::vector<double>& result, const std::function<void()>& progress) {
  run_.members = v.rows();
  reserve(v);
  for (int64_t row = 0; directions_ && row < v.rows(); ++row) directions_->copy_row(row, v, row);
  batches_->clear(*sums_);
  for_each_batch(o_.batch, o_.tail, o_.data.count, [&](const BatchProgram& program, int64_t first) {
    if (run_.stop && run_.stop->load()) throw Error("ABORTED", "Hessian-vector product aborted");
    if (program.v < 0) return;  // the gradient is constant
    std::vector<Vector*> vectors = program.vectors;
    vectors[program.v] = directions_ ? &*directions_ : &v;
    vectors[program.hv] = &*products_;
    const double weight = static_cast<double>(program.batch) / static_cast<double>(o_.data.count);
    batches_->run(program, vectors, first, run_, {{&*products_, weight, &*sums_}});
    if (progress) progress();
  });
  result = batches_->read(*sums_);
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
    v.copy_row(0, directions, m);
    hessian.apply(v, product, [&] {
      if (progress) progress(++done / static_cast<double>(hessian.batches() * params.rows()));
    });
    std::memcpy(result.row(m), product.data(), product.size() * sizeof(double));
  }
}

}  // namespace ptmz
