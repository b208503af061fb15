// Measures of curvature seen from JavaScript: hvp, hutchinson, eigenvalues and spectrum, each a job over programs and
// vectors.
#include "solver_arguments.h"
#include "solvers/batch_runner.h"
#include "solvers/eigenvalues.h"
#include "solvers/hutchinson.h"
#include "solvers/spectrum.h"

namespace ptmz {

namespace {

HessianOptions to_hessian_options(Napi::Object object, Borrowed& borrowed) {
  HessianOptions o;
  o.batch = to_batch_program(object.Get("batch"), "batch", borrowed);
  o.tail = to_batch_program(object.Get("tail"), "tail", borrowed);
  for (const BatchProgram* program : {&o.batch, &o.tail}) {
    if (!program->executor) continue;
    if (program->hv < 0) throw Error("INVALID_ARGUMENT", "slots: a Hessian program needs hv");
    borrowed.mark_written(program->at(program->params));
    borrowed.mark_written(program->at(program->buffers));
  }
  o.data = to_dataset(object.Get("data"), "data", borrowed);
  o.params = required(borrowed.vector(object.Get("params"), "params", false), "params");
  o.buffers = borrowed.vector(object.Get("buffers"), "buffers", false);
  o.run = to_run_options(object);
  return o;
}

Napi::Value hvp_job(const Napi::CallbackInfo& info) {
  const Napi::Object object = to_object(info[0], "options");
  auto borrowed = std::make_shared<Borrowed>();
  const HessianOptions o = to_hessian_options(object, *borrowed);
  const Vector* directions = required(borrowed->vector(object.Get("directions"), "directions", false), "directions");
  Vector* result = required(borrowed->vector(object.Get("result"), "result", true), "result");
  const int64_t classes = to_int(object.Get("classes"), "classes", 1);
  Work work = [o, classes, directions, result, borrowed](JobContext& context) -> Finish {
    HessianOptions options = o;
    options.run.stop = &context.stop;
    check_labels(options.data, "data", classes);
    hessian_vector_product(options, *directions, *result, [&](double done) { context.progress({done}, done >= 1); });
    return [](Napi::Env env) -> Napi::Value { return env.Undefined(); };
  };
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1], device_of(o.batch, o.tail));
}

// What the measures that draw directions have in common.
template <typename Options>
Options to_drawing_options(const Napi::Object& object, Borrowed& borrowed) {
  Options o;
  o.hessian = to_hessian_options(object, borrowed);
  o.ranges = to_ranges(object.Get("ranges"));
  o.seeds = to_seeds(object.Get("seeds"));
  o.stream = to_uint32(object.Get("stream"), "stream");
  return o;
}

// At which of its steps a member is, how much of all is done, and what has been found so far.
template <typename Progress>
void report_member(JobContext& context, const Progress& p, int64_t step, int64_t steps,
                   std::initializer_list<double> found = {}) {
  std::vector<double> numbers{static_cast<double>(p.member), static_cast<double>(p.members), static_cast<double>(step),
                              static_cast<double>(steps), p.fraction};
  numbers.insert(numbers.end(), found);
  context.progress(std::move(numbers), p.fraction >= 1);
}

// Starts a job whose result is `measure(options, context)`.
template <typename Options, typename Measure>
Napi::Value start_drawing(const Napi::CallbackInfo& info, const Napi::Object& object, const Options& o,
                          const std::shared_ptr<Borrowed>& borrowed, const Measure& measure) {
  const int64_t classes = to_int(object.Get("classes"), "classes", 1);
  Work work = [o, classes, borrowed, measure](JobContext& context) -> Finish {
    Options options = o;
    options.hessian.run.stop = &context.stop;
    check_labels(options.hessian.data, "data", classes);
    return measure(options, context);
  };
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1], device_of(o.hessian.batch, o.hessian.tail));
}

// lists[i] as element i of an array of arrays.
Napi::Value from_lists(Napi::Env env, const std::vector<std::vector<double>>& lists) {
  Napi::Array array = Napi::Array::New(env, lists.size());
  for (uint32_t i = 0; i < lists.size(); ++i) array[i] = from_list(env, lists[i]);
  return array;
}

Napi::Value from_eigenvalues(Napi::Env env, const Eigenvalues& result) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("values", from_list(env, result.values));
  value.Set("residuals", from_list(env, result.residuals));
  value.Set("converged", from_list(env, std::vector<double>(result.converged.begin(), result.converged.end())));
  value.Set("iterations", static_cast<double>(result.iterations));
  value.Set("history", from_lists(env, result.history));
  return value;
}

Napi::Value from_spectrum(Napi::Env env, const Spectrum& spectrum) {
  const auto each = [&](const std::vector<double> Quadrature::*part) {
    std::vector<std::vector<double>> lists;
    for (const Quadrature& run : spectrum.runs) lists.push_back(run.*part);
    return from_lists(env, lists);
  };
  Napi::Object value = Napi::Object::New(env);
  value.Set("alpha", each(&Quadrature::alpha));
  value.Set("beta", each(&Quadrature::beta));
  value.Set("nodes", each(&Quadrature::nodes));
  value.Set("weights", each(&Quadrature::weights));
  value.Set("grid", from_list(env, spectrum.grid));
  value.Set("density", from_list(env, spectrum.density));
  value.Set("moments", from_list(env, spectrum.moments));
  return value;
}

Napi::Value from_trace(Napi::Env env, const TraceEstimate& estimate) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("trace", estimate.trace);
  value.Set("standardError", estimate.standard_error);
  value.Set("samples", from_list(env, estimate.samples));
  return value;
}

// The elements of a result per member, made into JavaScript values by `from`.
template <typename T>
Finish from_members(std::vector<T> members, Napi::Value (*from)(Napi::Env, const T&)) {
  return [members = std::move(members), from](Napi::Env env) -> Napi::Value {
    Napi::Array list = Napi::Array::New(env, members.size());
    for (uint32_t m = 0; m < members.size(); ++m) list[m] = from(env, members[m]);
    return list;
  };
}

Napi::Value hutchinson_job(const Napi::CallbackInfo& info) {
  const Napi::Object object = to_object(info[0], "options");
  auto borrowed = std::make_shared<Borrowed>();
  auto o = to_drawing_options<HutchinsonOptions>(object, *borrowed);
  o.probes = to_int(object.Get("probes"), "probes", 1, INT32_MAX);
  o.block = to_int(object.Get("block"), "block", 1, INT32_MAX);
  o.rtol = to_finite(object.Get("rtol"), "rtol");
  o.stop = to_bool(object.Get("pyhessian"), "pyhessian") ? TraceStop::pyhessian : TraceStop::standard_error;
  o.vectors = borrowed->vector(object.Get("vectors"), "vectors", false);
  return start_drawing(info, object, o, borrowed, [](const HutchinsonOptions& options, JobContext& context) {
    const auto report = [&](const HutchinsonProgress& p) {
      report_member(context, p, p.samples, p.probes, {p.trace, p.standard_error});
    };
    return from_members(hutchinson(options, report), from_trace);
  });
}

Napi::Value eigenvalues_job(const Napi::CallbackInfo& info) {
  const Napi::Object object = to_object(info[0], "options");
  auto borrowed = std::make_shared<Borrowed>();
  auto o = to_drawing_options<EigenOptions>(object, *borrowed);
  o.start = borrowed->vector(object.Get("start"), "start", false);
  o.method = static_cast<EigenMethod>(to_int(object.Get("method"), "method", 0, 2));
  o.which = static_cast<Which>(to_int(object.Get("which"), "which", 0, 3));
  o.count = to_int(object.Get("count"), "count", 1, INT32_MAX);
  o.steps = to_int(object.Get("steps"), "steps", 1, INT32_MAX);
  o.tolerance = to_finite(object.Get("tolerance"), "tolerance");
  return start_drawing(info, object, o, borrowed, [](const EigenOptions& options, JobContext& context) {
    const auto report = [&](const EigenProgress& p) {
      report_member(context, p, p.step, p.steps, {p.value, p.residual});
    };
    return from_members(hessian_eigenvalues(options, report), from_eigenvalues);
  });
}

Napi::Value spectrum_job(const Napi::CallbackInfo& info) {
  const Napi::Object object = to_object(info[0], "options");
  auto borrowed = std::make_shared<Borrowed>();
  auto o = to_drawing_options<SpectrumOptions>(object, *borrowed);
  o.start = borrowed->vector(object.Get("start"), "start", false);
  o.runs = to_int(object.Get("runs"), "runs", 1, INT32_MAX);
  o.steps = to_int(object.Get("steps"), "steps", 1, INT32_MAX);
  o.block = to_int(object.Get("block"), "block", 1, INT32_MAX);
  o.bins = to_int(object.Get("bins"), "bins", 2, INT32_MAX);
  o.sigma = to_finite(object.Get("sigma"), "sigma");
  return start_drawing(info, object, o, borrowed, [](const SpectrumOptions& options, JobContext& context) {
    const auto report = [&](const SpectrumProgress& p) { report_member(context, p, p.step, p.steps); };
    return from_members(hessian_spectrum(options, report), from_spectrum);
  });
}

}  // namespace

void add_curvature(Napi::Env env, Napi::Object exports) {
  exports.Set("hvp", Napi::Function::New<guarded<hvp_job>>(env, "hvp"));
  exports.Set("hutchinson", Napi::Function::New<guarded<hutchinson_job>>(env, "hutchinson"));
  exports.Set("eigenvalues", Napi::Function::New<guarded<eigenvalues_job>>(env, "eigenvalues"));
  exports.Set("spectrum", Napi::Function::New<guarded<spectrum_job>>(env, "spectrum"));
}

}  // namespace ptmz
