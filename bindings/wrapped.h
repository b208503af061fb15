// Wrapped: what the JavaScript classes of this addon share - a type tag, translated exceptions, external memory.
#pragma once
#include <string>

#include "convert.h"
#include "errors.h"
#include "node_addon.h"

namespace ptmz {

// T has a `static constexpr const char* kName`, how errors call it.
template <typename T>
class Wrapped : public Napi::ObjectWrap<T> {
 public:
  using Method = Napi::Value (T::*)(const Napi::CallbackInfo&);

  // The native object behind `value`; INVALID_ARGUMENT when it is anything else than a T of this addon.
  static T* from(Napi::Value value, const std::string& name) {
    bool matches = false;
    if (value.Type() != napi_object ||
        napi_check_object_type_tag(value.Env(), value, &type_tag(), &matches) != napi_ok || !matches)
      bad_argument(name, std::string("a ") + T::kName, value);
    return Napi::ObjectWrap<T>::Unwrap(value.As<Napi::Object>());
  }

 protected:
  explicit Wrapped(const Napi::CallbackInfo& info) : Napi::ObjectWrap<T>(info) {
    napi_type_tag_object(info.Env(), info.This(), &type_tag());
  }
  ~Wrapped() override { account(0); }

  // Members of the class whose native exceptions become JavaScript errors.
  template <Method body>
  static auto method(const char* name) {
    return T::InstanceMethod(name, static_cast<Method>(&Wrapped::template guarded<body>));
  }
  template <Method body>
  static auto getter(const char* name) {
    return T::InstanceAccessor(name, static_cast<Method>(&Wrapped::template guarded<body>), nullptr);
  }

  [[noreturn]] static void throw_disposed() {
    throw Error("DISPOSED", std::string("this ") + T::kName + " has been disposed of");
  }

  // Tells the garbage collector how many native bytes hang on this object now.
  void account(int64_t bytes) {
    int64_t total;
    if (bytes != accounted_) napi_adjust_external_memory(this->Env(), bytes - accounted_, &total);
    accounted_ = bytes;
  }

 private:
  template <Method body>
  Napi::Value guarded(const Napi::CallbackInfo& info) {
    return translated(info.Env(), [&] { return (static_cast<T*>(this)->*body)(info); });
  }

  // The address makes the tag differ between two copies of the addon in one process: their layouts may differ too.
  static const napi_type_tag& type_tag() {
    static const napi_type_tag tag{0x70746d7a6e617469, reinterpret_cast<uintptr_t>(&tag)};
    return tag;
  }
  int64_t accounted_ = 0;
};

}  // namespace ptmz
