// NativeProgram: what a program needs and costs, and runs of it as jobs.
#include "program.h"

#include "environment.h"
#include "vector.h"

namespace ptmz {
namespace {

Napi::Value number(Napi::Env env, int64_t value) { return Napi::Number::New(env, static_cast<double>(value)); }

// By slot; null where none was given.
using Vectors = std::vector<std::shared_ptr<Vector>>;

Vectors to_vectors(Napi::Value value) {
  return to_list(value, "vectors", [](Napi::Value v, const std::string& name) -> std::shared_ptr<Vector> {
    if (v.IsNull() || v.IsUndefined()) return nullptr;
    return NativeVector::get(v, name);
  });
}

std::string label(const ProgramSlot& slot) { return "vector '" + slot.name + "'"; }

// Taking the locks would call this BUSY.
void check_outputs_are_apart(const Program& program, const Vectors& vectors) {
  for (size_t i = 0; i < vectors.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (vectors[i] && vectors[i] == vectors[j] && (program.slots[i].written || program.slots[j].written))
        throw Error("INVALID_ARGUMENT", label(program.slots[i]) + ": is also '" + program.slots[j].name +
                                            "'; an output needs a vector of its own");
}

std::vector<JobLock> lock_all(const Program& program, const Vectors& vectors) {
  std::vector<JobLock> locks;
  for (size_t i = 0; i < vectors.size(); ++i) {
    const ProgramSlot& slot = program.slots[i];
    if (!vectors[i] || !(slot.read || slot.written)) continue;
    locks.push_back(slot.written ? lock_write(vectors[i], label(slot)) : lock_read(vectors[i], label(slot)));
  }
  return locks;
}

Napi::Object to_object(Napi::Env env, const RunStats& stats) {
  Napi::Object object = Napi::Object::New(env);
  object["sharedLaunches"] = number(env, stats.shared_launches);
  object["varyingLaunches"] = number(env, stats.varying_launches);
  object["chunks"] = number(env, stats.chunks);
  object["chunkMembers"] = number(env, stats.chunk_members);
  object["arenaBytes"] = number(env, stats.arena_bytes);
  return object;
}

}  // namespace

NativeProgram::NativeProgram(const Napi::CallbackInfo& info) : Wrapped(info) {
  translated(info.Env(), [&] {
    if (!info[0].IsExternal()) throw Error("INVALID_ARGUMENT", "Program: made by Graph.compile only");
    state_ = std::make_shared<ProgramState>(*info[0].As<Napi::External<std::shared_ptr<const Program>>>().Data());
    state_->owner = this;
  });
}

NativeProgram::~NativeProgram() { release(); }

void NativeProgram::release() {
  if (state_) state_->owner = nullptr;
  state_.reset();
  account(0);
}

void NativeProgram::add_to(Napi::Env env, Napi::Object) {
  Environment::of(env).program =
      Napi::Persistent(DefineClass(env, "Program",
                                   {getter<&NativeProgram::slots>("slots"), getter<&NativeProgram::plan>("plan"),
                                    method<&NativeProgram::dump>("dump"), method<&NativeProgram::run>("run"),
                                    method<&NativeProgram::dispose>("dispose")}));
}

Napi::Object NativeProgram::make(Napi::Env env, std::shared_ptr<const Program> program) {
  return Environment::of(env).program.New({Napi::External<std::shared_ptr<const Program>>::New(env, &program)});
}

std::shared_ptr<ProgramState> NativeProgram::get(Napi::Value value, const std::string& name) {
  return from(value, name)->state();
}

const std::shared_ptr<ProgramState>& NativeProgram::state() const {
  if (!state_) throw_disposed();
  return state_;
}

Napi::Value NativeProgram::slots(const Napi::CallbackInfo& info) {
  const std::vector<ProgramSlot>& slots = state()->executor.program().slots;
  const Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env, slots.size());
  for (uint32_t i = 0; i < slots.size(); ++i) {
    Napi::Object object = Napi::Object::New(env);
    object["name"] = Napi::String::New(env, slots[i].name);
    object["kind"] = Napi::String::New(env, slots[i].kind == Kind::index ? "index" : "real");
    object["size"] = number(env, slots[i].size);
    object["varies"] = Napi::Boolean::New(env, slots[i].varies);
    object["read"] = Napi::Boolean::New(env, slots[i].read);
    object["written"] = Napi::Boolean::New(env, slots[i].written);
    list[i] = object;
  }
  return list;
}

Napi::Value NativeProgram::plan(const Napi::CallbackInfo& info) {
  const Program& program = state()->executor.program();
  const Napi::Env env = info.Env();
  Napi::Object object = Napi::Object::New(env);
  object["sharedLaunches"] = number(env, static_cast<int64_t>(program.shared.size()));
  object["varyingLaunches"] = number(env, static_cast<int64_t>(program.varying.size()));
  object["sharedBytes"] = number(env, program.shared_bytes);
  object["memberBytes"] = number(env, program.member_bytes);
  object["scratchBytes"] = number(env, program.scratch_bytes);
  return object;
}

Napi::Value NativeProgram::dump(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), state()->executor.program().dump());
}

Napi::Value NativeProgram::run(const Napi::CallbackInfo& info) {
  const Vectors vectors = to_vectors(info[0]);
  const Napi::Object given = ptmz::to_object(info[1], "options");
  RunOptions options;
  options.members = to_int(given["members"], "members", 1);
  options.threads = static_cast<int>(to_int(given["threads"], "threads", 0, 4096));
  options.memory_limit = to_int(given["memoryLimit"], "memoryLimit");

  const std::shared_ptr<ProgramState> state = this->state();
  const Program& program = state->executor.program();
  if (vectors.size() != program.slots.size())
    throw Error("INVALID_ARGUMENT", "vectors: expected one or null per slot (" + std::to_string(program.slots.size()) +
                                        "), got " + std::to_string(vectors.size()));
  check_outputs_are_apart(program, vectors);
  const JobLock exclusive = lock_exclusive(state->busy, "the program");
  std::vector<JobLock> locks = lock_all(program, vectors);
  locks.push_back(exclusive);

  const auto work = [state, vectors, options](JobContext& context) -> Finish {
    RunOptions own = options;
    own.stop = &context.stop;
    std::vector<Vector*> plain;
    for (const auto& vector : vectors) plain.push_back(vector.get());
    const RunStats stats = state->executor.run(plain, own);
    // The executor may be busy with the next run when the promise settles, so the figure is taken here.
    return [stats, weak = std::weak_ptr(state)](Napi::Env env) -> Napi::Value {
      const auto state = weak.lock();
      if (state && state->owner != nullptr) state->owner->account(stats.arena_bytes);
      return to_object(env, stats);
    };
  };
  return start_job(info.Env(), work, std::move(locks), info.Env().Undefined(), program.backend->device());
}

Napi::Value NativeProgram::dispose(const Napi::CallbackInfo& info) {
  release();
  return info.Env().Undefined();
}

void add_program(Napi::Env env, Napi::Object exports) { NativeProgram::add_to(env, exports); }

}  // namespace ptmz
