// Errors: what the core throws becomes a JavaScript Error with `.code`.
#pragma once
#include <new>

#include "ir/error.h"
#include "node_addon.h"

namespace ptmz {

struct Failure {
  std::string code, message;
};

// Describes the exception that is being handled. Call it in a catch block.
inline Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {"OUT_OF_MEMORY", "the native core could not allocate memory"};
  } catch (const std::exception& error) {
    return {"INTERNAL", error.what()};
  } catch (...) {
    return {"INTERNAL", "unknown native exception"};
  }
}

inline Napi::Error to_js(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Set("code", Napi::String::New(env, failure.code));
  return error;
}

// Calls `body`, passing on JavaScript exceptions and translating native ones.
template <typename Body>
auto translated(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js(env, current_failure());
  }
}

}  // namespace ptmz
