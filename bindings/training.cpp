// Training and evaluation seen from JavaScript, each a job over programs and vectors.
#include "solver_arguments.h"
#include "solvers/batch_runner.h"

namespace ptmz {

namespace {

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
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1], o.params->device());
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
  return start_job(info.Env(), std::move(work), borrowed->lock(), info[1], device_of(o.batch, o.tail));
}

}  // namespace

void add_training(Napi::Env env, Napi::Object exports) {
  exports.Set("train", Napi::Function::New<guarded<train_job>>(env, "train"));
  exports.Set("evaluate", Napi::Function::New<guarded<evaluate_job>>(env, "evaluate"));
}

}  // namespace ptmz
