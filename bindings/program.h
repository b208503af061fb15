// NativeProgram: a compiled program and its executor seen from JavaScript.
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "runtime/executor.h"
#include "wrapped.h"

namespace ptmz {

class NativeProgram;

// What jobs share with the JavaScript object. A job holds lock_exclusive(busy) while it uses the executor.
struct ProgramState {
  explicit ProgramState(std::shared_ptr<const Program> program) : executor(std::move(program)) {}
  Executor executor;
  std::shared_ptr<std::atomic<bool>> busy = std::make_shared<std::atomic<bool>>(false);
  NativeProgram* owner = nullptr;  // for the JavaScript thread; null once disposed of or collected
};

class NativeProgram : public Wrapped<NativeProgram> {
 public:
  static constexpr const char* kName = "Program";
  static void add_to(Napi::Env env, Napi::Object exports);
  explicit NativeProgram(const Napi::CallbackInfo& info);
  ~NativeProgram() override;

  static Napi::Object make(Napi::Env env, std::shared_ptr<const Program> program);
  // The program behind an argument. Throws INVALID_ARGUMENT or DISPOSED.
  static std::shared_ptr<ProgramState> get(Napi::Value value, const std::string& name);

 private:
  Napi::Value slots(const Napi::CallbackInfo& info);
  Napi::Value plan(const Napi::CallbackInfo& info);
  Napi::Value dump(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  const std::shared_ptr<ProgramState>& state() const;  // throws DISPOSED
  void release();

  std::shared_ptr<ProgramState> state_;  // null once disposed of; a running job has its own reference
};

}  // namespace ptmz
