// The solvers seen from JavaScript: train, evaluate, hvp and hutchinson, each a job over programs and vectors.
#include <cmath>
#include <map>

#include "environment.h"
#include "program.h"
#include "solvers/eigenvalues.h"
#include "solvers/hutchinson.h"
#include "solvers/spectrum.h"
#include "solvers/train.h"
#include "vector.h"

namespace ptmz {

namespace {

// What a job uses: keeps it alive and locks every object once, for writing if any use of it writes.
class Borrowed {
 public:
  Vector* vector(Napi::Value value, const std::string& name, bool write) {
    if (value.IsNull() || value.IsUndefined()) return nullptr;
    const std::shared_ptr<Vector> vector = NativeVector::get(value, name);
    Use& use = vectors_[vector.get()];
    if (!use.vector) use = {vector, name, false};
    use.write |= write;
    return vector.get();
  }
  Executor* executor(Napi::Value value, const std::string& name) {
    const std::shared_ptr<ProgramState> state = NativeProgram::get(value, name);
    programs_[state.get()] = {state, name};
    return &state->executor;
  }
  void mark_written(const Vector* vector) {
    if (vector) vectors_.at(const_cast<Vector*>(vector)).write = true;
  }
  std::vector<JobLock> lock() const {
    std::vector<JobLock> locks;
    for (const auto& [state, use] : programs_) locks.push_back(lock_exclusive(state->busy, use.second));
    for (const auto& [vector, use] : vectors_) {
      locks.push_back(use.write ? lock_write(use.vector, use.name) : lock_read(use.vector, use.name));
    }
    return locks;
  }

 private:
  struct Use {
    std::shared_ptr<Vector> vector;
    std::string name;
    bool write;
  };
  std::map<Vector*, Use> vectors_;
  std::map<ProgramState*, std::pair<std::shared_ptr<ProgramState>, std::string>> programs_;
};

int to_slot(Napi::Object slots, const char* key, int64_t count, const std::string& name) {
  const Napi::Value value = slots.Get(key);
  if (value.IsUndefined()) return -1;
  return static_cast<int>(to_int(value, name + "." + key, 0, count - 1));
}

// { program, vectors, batch, slots: { x, y, ... } } or null.
BatchProgram to_batch_program(Napi::Value value, const std::string& name, Borrowed& borrowed) {
  BatchProgram result;
  if (value.IsNull()) return result;
  const Napi::Object object = to_object(value, name);
  result.batch = to_int(object.Get("batch"), name + ".batch", 1);
  result.executor = borrowed.executor(object.Get("program"), name + ".program");
  const std::vector<ProgramSlot>& slots = result.executor->program().slots;
  size_t slot = 0;
  result.vectors = to_list(object.Get("vectors"), name + ".vectors", [&](Napi::Value v, const std::string& n) {
    const bool write = slot < slots.size() && slots[slot].written;
    const std::string what = slot < slots.size() ? n + " (" + slots[slot].name + ")" : n;
    ++slot;
    return borrowed.vector(v, what, write);
  });
  const int64_t count = static_cast<int64_t>(slots.size());
  if (static_cast<int64_t>(result.vectors.size()) != count) {
    throw Error("INVALID_ARGUMENT", name + ".vectors: expected " + std::to_string(count) + " entries, got " +
                                        std::to_string(result.vectors.size()));
  }
  const Napi::Object numbers = to_object(object.Get("slots"), name + ".slots");
  const std::pair<const char*, int BatchProgram::*> members[] = {{"x", &BatchProgram::x},
                                                                 {"y", &BatchProgram::y},
                                                                 {"key", &BatchProgram::key},
                                                                 {"loss", &BatchProgram::loss},
                                                                 {"correct", &BatchProgram::correct},
                                                                 {"grad", &BatchProgram::grad},
                                                                 {"nextBuffers", &BatchProgram::next_buffers},
                                                                 {"params", &BatchProgram::params},
                                                                 {"buffers", &BatchProgram::buffers},
                                                                 {"v", &BatchProgram::v},
                                                                 {"hv", &BatchProgram::hv}};
  for (const auto& [key, member] : members) result.*member = to_slot(numbers, key, count, name + ".slots");
  for (int s : {result.x, result.y, result.key}) borrowed.mark_written(result.at(s));
  return result;
}

// [low, high].
Range to_range(Napi::Value value, const std::string& name) {
  const std::vector<double> ends = to_reals(value, name);
  if (ends.size() != 2) throw Error("INVALID_ARGUMENT", name + ": expected two numbers");
  return {ends[0], ends[1]};
}

// { brightness, contrast, saturation, hue, randAugment, erase }, or nothing; `fill`: what erasing leaves.
RandomOps to_random_ops(Napi::Value value, const std::string& name, std::vector<double>& fill) {
  RandomOps ops;
  if (value.IsNull() || value.IsUndefined()) return ops;
  const Napi::Object object = to_object(value, name);
  const char* const factors[] = {"brightness", "contrast", "saturation"};
  for (int i = 0; i < 3; ++i) ops.jitter.factors[i] = to_range(object.Get(factors[i]), name + "." + factors[i]);
  ops.jitter.hue = to_range(object.Get("hue"), name + ".hue");
  const Napi::Object rand = to_object(object.Get("randAugment"), name + ".randAugment");
  ops.rand_augment.operations = to_int(rand.Get("operations"), name + ".operations", 0, 1 << 16);
  ops.rand_augment.magnitude = to_int(rand.Get("magnitude"), name + ".magnitude", 0, INT32_MAX);
  ops.rand_augment.bins = to_int(rand.Get("bins"), name + ".bins", 2, INT32_MAX);
  const Napi::Object erase = to_object(object.Get("erase"), name + ".erase");
  ops.erasing.probability = to_finite(erase.Get("probability"), name + ".probability");
  ops.erasing.area = to_range(erase.Get("scale"), name + ".scale");
  const Range ratio = to_range(erase.Get("ratio"), name + ".ratio");
  ops.erasing.log_ratio = {std::log(ratio.low), std::log(ratio.high)};
  ops.erasing.noise = to_bool(erase.Get("noise"), name + ".noise");
  fill = to_reals(erase.Get("value"), name + ".value");
  return ops;
}

// { path, vocabulary }, or nothing.
std::shared_ptr<const TokenFile> to_token_file(Napi::Value value, const std::string& name) {
  if (value.IsNull() || value.IsUndefined()) return nullptr;
  const Napi::Object object = to_object(value, name);
  const int64_t vocabulary = to_int(object.Get("vocabulary"), name + ".vocabulary", 1, INT32_MAX);
  return std::make_shared<TokenFile>(to_text(object.Get("path"), name + ".path"), vocabulary);
}

// { samples, labels, file, count, channels, plane, mean, deviation, window, stride, ops } or null.
Dataset to_dataset(Napi::Value value, const std::string& name, Borrowed& borrowed) {
  Dataset data;
  if (value.IsNull()) return data;
  const Napi::Object object = to_object(value, name);
  data.count = to_int(object.Get("count"), name + ".count", 1, INT32_MAX);
  data.channels = to_int(object.Get("channels"), name + ".channels", 1, INT32_MAX);
  data.plane = to_int(object.Get("plane"), name + ".plane", 1, INT32_MAX);
  data.mean = to_reals(object.Get("mean"), name + ".mean");
  data.deviation = to_reals(object.Get("deviation"), name + ".deviation");
  data.window = to_int(object.Get("window"), name + ".window", 0, INT32_MAX);
  data.stride = to_int(object.Get("stride"), name + ".stride", 1, INT32_MAX);
  data.resident = borrowed.vector(object.Get("samples"), name + ".samples", false);
  data.file = to_token_file(object.Get("file"), name + ".file");
  data.ops = to_random_ops(object.Get("ops"), name + ".ops", data.fill);
  data.labels = borrowed.vector(object.Get("labels"), name + ".labels", false);
  return data;
}

// [begin, end, decays, ...], three numbers per range.
std::vector<ParameterRange> to_ranges(Napi::Value value) {
  const std::vector<int64_t> flat = to_ints(value, "ranges");
  if (flat.size() % 3 != 0) throw Error("INVALID_ARGUMENT", "ranges: expected three numbers per range");
  std::vector<ParameterRange> ranges;
  for (size_t i = 0; i < flat.size(); i += 3) ranges.push_back({flat[i], flat[i + 1], flat[i + 2] != 0});
  return ranges;
}

std::vector<uint64_t> to_seeds(Napi::Value value) {
  const std::vector<int64_t> seeds = to_ints(value, "seeds");
  return {seeds.begin(), seeds.end()};
}

RunOptions to_run_options(Napi::Object object) {
  RunOptions run;
  run.threads = static_cast<int>(to_int(object.Get("threads"), "threads", 0, 4096));
  run.memory_limit = to_int(object.Get("memoryLimit"), "memoryLimit");
  return run;
}

Vector* required(Vector* vector, const char* name) {
  if (!vector) throw Error("INVALID_ARGUMENT", std::string(name) + ": expected a vector");
  return vector;
}

// [epoch, epochs, step, steps, evaluating, lr, samples per second, losses..., accuracies..., last history row...]
std::vector<double> flatten(const TrainProgress& p) {
  std::vector<double> fields = {static_cast<double>(p.epoch), static_cast<double>(p.epochs),
                                static_cast<double>(p.step),  static_cast<double>(p.steps),
                                p.evaluating ? 1.0 : 0.0,     p.lr,
                                p.samples_per_second};
  for (const auto* list : {&p.loss, &p.accuracy, &p.last}) fields.insert(fields.end(), list->begin(), list->end());
  return fields;
}

// { height, width, padding, flip, rotate, ops }.
AugmentOptions to_augment(Napi::Value value) {
  AugmentOptions augment;
  const Napi::Object object = to_object(value, "augment");
  augment.height = to_int(object.Get("height"), "augment.height", 1, INT32_MAX);
  augment.width = to_int(object.Get("width"), "augment.width", 1, INT32_MAX);
  augment.padding = to_int(object.Get("padding"), "augment.padding", 0, INT32_MAX);
  augment.flip = to_finite(object.Get("flip"), "augment.flip");
  augment.rotate = to_finite(object.Get("rotate"), "augment.rotate");
  augment.ops = to_bool(object.Get("ops"), "augment.ops");
  return augment;
}

OptimiserKind to_optimiser(Napi::Value value) {
  static const std::map<std::string, OptimiserKind> kinds = {{"sgd", OptimiserKind::sgd},
                                                             {"adam", OptimiserKind::adam},
                                                             {"adamw", OptimiserKind::adamw},
                                                             {"rmsprop", OptimiserKind::rmsprop},
                                                             {"lbfgs", OptimiserKind::lbfgs}};
  const auto kind = value.IsString() ? kinds.find(value.As<Napi::String>().Utf8Value()) : kinds.end();
  if (kind == kinds.end()) throw Error("INVALID_ARGUMENT", "optimizer: expected the name of an optimiser");
  return kind->second;
}

Napi::Value train_job(const Napi::CallbackInfo& info) {
  const Napi::Object object = to_object(info[0], "options");
  auto borrowed = std::make_shared<Borrowed>();
  TrainOptions o;
  o.batch = to_batch_program(object.Get("batch"), "batch", *borrowed);
  o.tail = to_batch_program(object.Get("tail"), "tail", *borrowed);
  o.test.batch = to_batch_program(object.Get("testBatch"), "testBatch", *borrowed);
  o.test.tail = to_batch_program(object.Get("testTail"), "testTail", *borrowed);
  o.train = to_dataset(object.Get("train"), "train", *borrowed);
  o.test.data = to_dataset(object.Get("test"), "test", *borrowed);
  o.params = required(borrowed->vector(object.Get("params"), "params", true), "params");
  o.velocity = required(borrowed->vector(object.Get("velocity"), "velocity", true), "velocity");
  o.second_moment = borrowed->vector(object.Get("secondMoment"), "secondMoment", true);
  o.pairs = borrowed->vector(object.Get("pairs"), "pairs", true);
  o.search = borrowed->vector(object.Get("search"), "search", true);
  o.average = borrowed->vector(object.Get("average"), "average", true);
  o.buffers = borrowed->vector(object.Get("buffers"), "buffers", true);
  o.state = required(borrowed->vector(object.Get("state"), "state", true), "state");
  o.history = required(borrowed->vector(object.Get("history"), "history", true), "history");
  o.ranges = to_ranges(object.Get("ranges"));
  o.seeds = to_seeds(object.Get("seeds"));
  o.weight_decay = to_reals(object.Get("weightDecay"), "weightDecay");
  o.lr = required(borrowed->vector(object.Get("lr"), "lr", false), "lr");
  o.momentum = required(borrowed->vector(object.Get("momentum"), "momentum", false), "momentum");
  o.optimiser.kind = to_optimiser(object.Get("optimizer"));
  o.optimiser.nesterov = to_bool(object.Get("nesterov"), "nesterov");
  o.optimiser.beta2 = to_finite(object.Get("beta2"), "beta2");
  o.optimiser.eps = to_finite(object.Get("eps"), "eps");
  o.lbfgs.history = to_int(object.Get("historySize"), "historySize", 1, 1 << 20);
  o.lbfgs.tolerance_grad = to_finite(object.Get("toleranceGrad"), "toleranceGrad");
  o.lbfgs.tolerance_change = to_finite(object.Get("toleranceChange"), "toleranceChange");
  o.lbfgs.evaluations = to_int(object.Get("lineSearch"), "lineSearch", 1, INT32_MAX);
  o.clip = to_finite(object.Get("clip"), "clip");
  o.average_decay = to_finite(object.Get("averageDecay"), "averageDecay");
  o.accumulate = to_int(object.Get("accumulate"), "accumulate", 1, INT32_MAX);
  o.carry_leftover = to_bool(object.Get("carryLeftover"), "carryLeftover");
  o.augment = to_augment(object.Get("augment"));
  o.shuffle = to_bool(object.Get("shuffle"), "shuffle");
  o.classes = to_int(object.Get("classes"), "classes", 1);
  o.evaluate_every = to_int(object.Get("evaluateEvery"), "evaluateEvery", 1);
  o.step_limit = to_int(object.Get("stepLimit"), "stepLimit", 1);
  o.run = to_run_options(object);
  const bool reports = info[1].IsFunction();  // to nobody, a device need not be asked
  Work work = [o, reports, borrowed](JobContext& context) -> Finish {
    TrainOptions options = o;
    options.run.stop = &context.stop;
    std::function<void(const TrainProgress&)> report;
    if (reports) report = [&](const TrainProgress& p) { context.progress(flatten(p), p.epoch == p.epochs); };
    const TrainResult result = train(options, report);
    return [result](Napi::Env env) -> Napi::Value {
      Napi::Object value = Napi::Object::New(env);
      value.Set("steps", static_cast<double>(result.steps));
      value.Set("epochs", static_cast<double>(result.epochs));
      value.Set("seconds", result.seconds);
      value.Set("samplesPerSecond", result.samples_per_second);
      return value;
    };
  };
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1]);
}

Napi::Value evaluate_job(const Napi::CallbackInfo& info) {
  const Napi::Object object = to_object(info[0], "options");
  auto borrowed = std::make_shared<Borrowed>();
  EvaluateOptions o;
  o.batch = to_batch_program(object.Get("batch"), "batch", *borrowed);
  o.tail = to_batch_program(object.Get("tail"), "tail", *borrowed);
  o.data = to_dataset(object.Get("data"), "data", *borrowed);
  o.members = to_int(object.Get("members"), "members", 1);
  o.run = to_run_options(object);
  const int64_t classes = to_int(object.Get("classes"), "classes", 1);
  Work work = [o, classes, borrowed](JobContext& context) -> Finish {
    EvaluateOptions options = o;
    options.run.stop = &context.stop;
    check_labels(options.data, "data", classes);
    const double count = static_cast<double>(options.data.count);
    const Evaluation result = evaluate(options, [&](int64_t done) {
      context.progress({static_cast<double>(done) / count}, done == options.data.count);
    });
    return [result](Napi::Env env) -> Napi::Value {
      Napi::Object value = Napi::Object::New(env);
      value.Set("loss", from_list(env, result.loss));
      value.Set("accuracy", from_list(env, result.accuracy));
      return value;
    };
  };
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1]);
}

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
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1]);
}

Napi::Value hutchinson_job(const Napi::CallbackInfo& info) {
  const Napi::Object object = to_object(info[0], "options");
  auto borrowed = std::make_shared<Borrowed>();
  HutchinsonOptions o;
  o.hessian = to_hessian_options(object, *borrowed);
  o.ranges = to_ranges(object.Get("ranges"));
  o.seeds = to_seeds(object.Get("seeds"));
  o.stream = to_uint32(object.Get("stream"), "stream");
  o.probes = to_int(object.Get("probes"), "probes", 1, INT32_MAX);
  o.block = to_int(object.Get("block"), "block", 1, INT32_MAX);
  o.rtol = to_finite(object.Get("rtol"), "rtol");
  o.stop = to_bool(object.Get("pyhessian"), "pyhessian") ? TraceStop::pyhessian : TraceStop::standard_error;
  o.vectors = borrowed->vector(object.Get("vectors"), "vectors", false);
  const int64_t classes = to_int(object.Get("classes"), "classes", 1);
  Work work = [o, classes, borrowed](JobContext& context) -> Finish {
    HutchinsonOptions options = o;
    options.hessian.run.stop = &context.stop;
    check_labels(options.hessian.data, "data", classes);
    std::vector<TraceEstimate> estimates = hutchinson(options, [&](const HutchinsonProgress& p) {
      context.progress({static_cast<double>(p.member), static_cast<double>(p.members), static_cast<double>(p.samples),
                        static_cast<double>(p.probes), p.fraction, p.trace, p.standard_error},
                       p.fraction >= 1);
    });
    return [estimates = std::move(estimates)](Napi::Env env) -> Napi::Value {
      Napi::Array list = Napi::Array::New(env, estimates.size());
      for (uint32_t m = 0; m < estimates.size(); ++m) {
        Napi::Object value = Napi::Object::New(env);
        value.Set("trace", estimates[m].trace);
        value.Set("standardError", estimates[m].standard_error);
        value.Set("samples", from_list(env, estimates[m].samples));
        list[m] = value;
      }
      return list;
    };
  };
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1]);
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

// The elements of a result per member, made into JavaScript values by `from`.
template <typename T>
Finish from_members(std::vector<T> members, Napi::Value (*from)(Napi::Env, const T&)) {
  return [members = std::move(members), from](Napi::Env env) -> Napi::Value {
    Napi::Array list = Napi::Array::New(env, members.size());
    for (uint32_t m = 0; m < members.size(); ++m) list[m] = from(env, members[m]);
    return list;
  };
}

Napi::Value eigenvalues_job(const Napi::CallbackInfo& info) {
  const Napi::Object object = to_object(info[0], "options");
  auto borrowed = std::make_shared<Borrowed>();
  EigenOptions o;
  o.hessian = to_hessian_options(object, *borrowed);
  o.ranges = to_ranges(object.Get("ranges"));
  o.seeds = to_seeds(object.Get("seeds"));
  o.stream = to_uint32(object.Get("stream"), "stream");
  o.start = borrowed->vector(object.Get("start"), "start", false);
  o.method = static_cast<EigenMethod>(to_int(object.Get("method"), "method", 0, 2));
  o.which = static_cast<Which>(to_int(object.Get("which"), "which", 0, 3));
  o.count = to_int(object.Get("count"), "count", 1, INT32_MAX);
  o.steps = to_int(object.Get("steps"), "steps", 1, INT32_MAX);
  o.tolerance = to_finite(object.Get("tolerance"), "tolerance");
  const int64_t classes = to_int(object.Get("classes"), "classes", 1);
  Work work = [o, classes, borrowed](JobContext& context) -> Finish {
    EigenOptions options = o;
    options.hessian.run.stop = &context.stop;
    check_labels(options.hessian.data, "data", classes);
    return from_members(hessian_eigenvalues(options,
                                            [&](const EigenProgress& p) {
                                              context.progress(
                                                  {static_cast<double>(p.member), static_cast<double>(p.members),
                                                   static_cast<double>(p.step), static_cast<double>(p.steps),
                                                   p.fraction, p.value, p.residual},
                                                  p.fraction >= 1);
                                            }),
                        from_eigenvalues);
  };
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1]);
}

Napi::Value spectrum_job(const Napi::CallbackInfo& info) {
  const Napi::Object object = to_object(info[0], "options");
  auto borrowed = std::make_shared<Borrowed>();
  SpectrumOptions o;
  o.hessian = to_hessian_options(object, *borrowed);
  o.ranges = to_ranges(object.Get("ranges"));
  o.seeds = to_seeds(object.Get("seeds"));
  o.stream = to_uint32(object.Get("stream"), "stream");
  o.start = borrowed->vector(object.Get("start"), "start", false);
  o.runs = to_int(object.Get("runs"), "runs", 1, INT32_MAX);
  o.steps = to_int(object.Get("steps"), "steps", 1, INT32_MAX);
  o.block = to_int(object.Get("block"), "block", 1, INT32_MAX);
  o.bins = to_int(object.Get("bins"), "bins", 2, INT32_MAX);
  o.sigma = to_finite(object.Get("sigma"), "sigma");
  const int64_t classes = to_int(object.Get("classes"), "classes", 1);
  Work work = [o, classes, borrowed](JobContext& context) -> Finish {
    SpectrumOptions options = o;
    options.hessian.run.stop = &context.stop;
    check_labels(options.hessian.data, "data", classes);
    return from_members(hessian_spectrum(options,
                                         [&](const SpectrumProgress& p) {
                                           context.progress(
                                               {static_cast<double>(p.member), static_cast<double>(p.members),
                                                static_cast<double>(p.step), static_cast<double>(p.steps), p.fraction},
                                               p.fraction >= 1);
                                         }),
                        from_spectrum);
  };
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1]);
}

template <Napi::Value (*body)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&] { return body(info); });
}

}  // namespace

void add_solvers(Napi::Env env, Napi::Object exports) {
  exports.Set("train", Napi::Function::New<guarded<train_job>>(env, "train"));
  exports.Set("evaluate", Napi::Function::New<guarded<evaluate_job>>(env, "evaluate"));
  exports.Set("hvp", Napi::Function::New<guarded<hvp_job>>(env, "hvp"));
  exports.Set("hutchinson", Napi::Function::New<guarded<hutchinson_job>>(env, "hutchinson"));
  exports.Set("eigenvalues", Napi::Function::New<guarded<eigenvalues_job>>(env, "eigenvalues"));
  exports.Set("spectrum", Napi::Function::New<guarded<spectrum_job>>(env, "spectrum"));
}

}  // namespace ptmz
