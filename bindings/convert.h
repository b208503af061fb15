// Argument checking: JavaScript values to native ones. Each function names the argument, what was expected and what
// came in an INVALID_ARGUMENT error. No number is rounded, wrapped or cut.
//
// Reading an array or an object can run a caller's getter, which may dispose of anything: convert all arguments first,
// then ask the objects for their native parts.
#pragma once
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "ir/error.h"
#include "ir/graph.h"
#include "node_addon.h"

namespace ptmz {

inline constexpr int64_t kMaxSafe = (int64_t{1} << 53) - 1;

inline std::string describe(Napi::Value value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return value.As<Napi::Boolean>() ? "true" : "false";
    case napi_number: {
      const double number = value.As<Napi::Number>();
      char text[32];
      snprintf(text, sizeof text, "%.17g", number);
      return std::isnan(number) ? "NaN" : text;
    }
    case napi_string: {
      std::string text = value.As<Napi::String>();
      return "'" + (text.size() > 40 ? text.substr(0, 40) + "..." : text) + "'";
    }
    case napi_function:
      return "a function";
    case napi_object:
      return value.IsArray() ? "an array" : value.IsTypedArray() ? "a typed array" : "an object";
    default:
      return "a symbol, bigint or external";
  }
}

[[noreturn]] inline void bad_argument(const std::string& name, const std::string& expected, Napi::Value got) {
  throw Error("INVALID_ARGUMENT", name + ": expected " + expected + ", got " + describe(got));
}

// An integer in [low, high].
inline int64_t to_int(Napi::Value value, const std::string& name, int64_t low = 0, int64_t high = kMaxSafe) {
  const auto expected = [&] {
    return high == kMaxSafe ? "an integer of at least " + std::to_string(low)
                            : "an integer from " + std::to_string(low) + " to " + std::to_string(high);
  };
  if (!value.IsNumber()) bad_argument(name, expected(), value);
  const double number = value.As<Napi::Number>();
  const bool safe = std::abs(number) <= static_cast<double>(kMaxSafe) && number == std::floor(number);
  if (!safe || number < static_cast<double>(low) || number > static_cast<double>(high))
    bad_argument(name, expected(), value);
  return static_cast<int64_t>(number);
}

inline uint32_t to_uint32(Napi::Value value, const std::string& name) {
  return static_cast<uint32_t>(to_int(value, name, 0, std::numeric_limits<uint32_t>::max()));
}

// Any number, NaN and infinities too.
inline double to_real(Napi::Value value, const std::string& name) {
  if (!value.IsNumber()) bad_argument(name, "a number", value);
  return value.As<Napi::Number>();
}

inline double to_finite(Napi::Value value, const std::string& name) {
  const double number = to_real(value, name);
  if (!std::isfinite(number)) bad_argument(name, "a finite number", value);
  return number;
}

inline bool to_bool(Napi::Value value, const std::string& name) {
  if (!value.IsBoolean()) bad_argument(name, "true or false", value);
  return value.As<Napi::Boolean>();
}

inline std::string to_text(Napi::Value value, const std::string& name) {
  if (!value.IsString()) bad_argument(name, "a string", value);
  return value.As<Napi::String>();
}

template <typename T>
T to_choice(Napi::Value value, const std::string& name, std::initializer_list<std::pair<const char*, T>> choices) {
  const std::string text = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  std::string expected;
  for (const auto& [key, choice] : choices) {
    if (value.IsString() && text == key) return choice;
    expected += (expected.empty() ? "'" : ", '") + std::string(key) + "'";
  }
  bad_argument(name, "one of " + expected, value);
}

inline Napi::Object to_object(Napi::Value value, const std::string& name) {
  if (value.Type() != napi_object || value.IsArray()) bad_argument(name, "an object", value);
  return value.As<Napi::Object>();
}

// `convert(element, name of the element)` for each element of an array.
template <typename Convert>
auto to_list(Napi::Value value, const std::string& name, Convert convert) {
  if (!value.IsArray()) bad_argument(name, "an array", value);
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<decltype(convert(value, name))> list;
  // Not reserved: `length` of a sparse array says nothing about what it holds.
  for (uint32_t i = 0; i < array.Length(); ++i) list.push_back(convert(array[i], name + "[" + std::to_string(i) + "]"));
  return list;
}

inline std::vector<int64_t> to_ints(Napi::Value value, const std::string& name, int64_t low = 0) {
  return to_list(value, name, [low](Napi::Value v, const std::string& n) { return to_int(v, n, low); });
}
inline std::vector<double> to_reals(Napi::Value value, const std::string& name) {
  return to_list(value, name, to_real);
}
// Sizes whose product is a safe integer too.
inline Shape to_shape(Napi::Value value, const std::string& name) {
  const Shape shape = to_ints(value, name);
  int64_t room = kMaxSafe;
  for (const int64_t size : shape)
    if (size > 0 && (room /= size) == 0) throw Error("INVALID_ARGUMENT", name + ": too large, " + to_string(shape));
  return shape;
}
inline NodeId to_node(Napi::Value value, const std::string& name) {
  return static_cast<NodeId>(to_int(value, name, 0, std::numeric_limits<NodeId>::max()));
}
inline std::vector<NodeId> to_nodes(Napi::Value value, const std::string& name) {
  return to_list(value, name, to_node);
}

template <typename T>
Napi::Array from_list(Napi::Env env, const std::vector<T>& list) {
  Napi::Array array = Napi::Array::New(env, list.size());
  for (uint32_t i = 0; i < list.size(); ++i) array[i] = Napi::Number::New(env, static_cast<double>(list[i]));
  return array;
}

}  // namespace ptmz
