// NativeVector: a ptmz::Vector seen from JavaScript.
#pragma once
#include <memory>
#include <string>

#include "runtime/vector.h"
#include "wrapped.h"

namespace ptmz {

class NativeVector : public Wrapped<NativeVector> {
 public:
  static constexpr const char* kName = "Vector";
  static void add_to(Napi::Env env, Napi::Object exports);
  explicit NativeVector(const Napi::CallbackInfo& info);

  // The vector behind an argument. Throws INVALID_ARGUMENT or DISPOSED.
  static std::shared_ptr<Vector> get(Napi::Value value, const std::string& name);

 private:
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value rows(const Napi::CallbackInfo& info);
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value random(const Napi::CallbackInfo& info);
  Napi::Value fill(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  const std::shared_ptr<Vector>& vector() const;  // throws DISPOSED

  std::shared_ptr<Vector> vector_;  // null once disposed of; a running job has its own reference
};

}  // namespace ptmz
