// What the jobs of the solvers are given: programs, vectors, data sets and options out of JavaScript's objects.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "environment.h"
#include "errors.h"
#include "program.h"
#include "solvers/train.h"
#include "vector.h"

namespace ptmz {

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

// { program, vectors, batch, slots: { x, y, ... } } or null.
BatchProgram to_batch_program(Napi::Value value, const std::string& name, Borrowed& borrowed);
// { samples, labels, file, count, channels, plane, mean, deviation, window, stride, ops } or null.
Dataset to_dataset(Napi::Value value, const std::string& name, Borrowed& borrowed);
// [begin, end, decays, ...], three numbers per range.
std::vector<ParameterRange> to_ranges(Napi::Value value);
std::vector<uint64_t> to_seeds(Napi::Value value);
// { threads, memoryLimit }.
RunOptions to_run_options(Napi::Object object);
// Throws where there is none.
Vector* required(Vector* vector, const char* name);

// A function that JavaScript calls, its errors translated.
template <Napi::Value (*body)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&] { return body(info); });
}

}  // namespace ptmz
