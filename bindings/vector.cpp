// NativeVector: copies to and from typed arrays, random numbers, and when they are allowed.
#include "vector.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "backend/device.h"
#include "backend/shared/philox.h"
#include "environment.h"
#include "runtime/executor.h"

namespace ptmz {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 48;

DType to_dtype(Napi::Value value, const std::string& name) {
  return to_choice<DType>(
      value, name, {{"float32", DType::f32}, {"float64", DType::f64}, {"int32", DType::i32}, {"uint8", DType::u8}});
}

napi_typedarray_type array_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return napi_float32_array;
    case DType::f64:
      return napi_float64_array;
    case DType::i32:
      return napi_int32_array;
    default:
      return napi_uint8_array;
  }
}

struct Elements {
  void* data;
  int64_t count;
};

// The memory of a typed array of that type that only this thread can see.
Elements to_elements(Napi::Value value, const std::string& name, DType dtype) {
  const std::string expected = std::string("a typed array of ") + dtype_name(dtype);
  if (!value.IsTypedArray()) bad_argument(name, expected, value);
  napi_typedarray_type type;
  size_t count, offset;
  void* data;
  napi_value buffer;
  bool plain = false, detached = false;
  if (napi_get_typedarray_info(value.Env(), value, &type, &count, &data, &buffer, &offset) != napi_ok ||
      type != array_type(dtype))
    throw Error("INVALID_ARGUMENT", name + ": expected " + expected + ", got another type");
  if (napi_is_arraybuffer(value.Env(), buffer, &plain) != napi_ok || !plain)
    throw Error("INVALID_ARGUMENT", name + ": expected " + expected + " on an ArrayBuffer, got one on shared memory");
  if (napi_is_detached_arraybuffer(value.Env(), buffer, &detached) != napi_ok || detached)
    throw Error("INVALID_ARGUMENT", name + ": expected " + expected + ", got one whose ArrayBuffer is detached");
  return {data, static_cast<int64_t>(count)};
}

// `count` elements at `offset` of a row must exist.
void check_range(const Vector& vector, int64_t row, int64_t offset, int64_t count) {
  if (row >= vector.rows())
    throw Error("INVALID_ARGUMENT",
                "row: expected less than " + std::to_string(vector.rows()) + ", got " + std::to_string(row));
  if (offset > vector.size() || count > vector.size() - offset)
    throw Error("INVALID_ARGUMENT", "offset: expected " + std::to_string(count) + " elements within " +
                                        std::to_string(vector.size()) + ", got offset " + std::to_string(offset));
}

template <typename T>
void fill_all(const Vector& vector, double value) {
  std::fill_n(vector.as<T>(), vector.rows() * vector.size(), static_cast<T>(value));
}

// Runs `change` on the elements [offset, offset + length) of all rows: in place, or on a copy that is then sent to the
// device.
template <typename F>
void change_on_host(Vector& vector, int64_t offset, int64_t length, F change) {
  if (vector.device() == nullptr) return change(vector);
  const Vector copy(vector.dtype(), vector.rows(), vector.size());
  change(copy);
  const int64_t element = dtype_bytes(vector.dtype());
  for (int64_t r = 0; r < vector.rows(); ++r)
    vector.write(r, offset, length, static_cast<char*>(copy.row(r)) + offset * element);
}

struct Draw {
  Distribution distribution;
  int64_t offset, length;
  double scale, shift;

  template <typename T>
  void into(T* row, const RandomKey& key, int64_t begin, int64_t end) const {
    for (int64_t i = begin; i < end; ++i) row[offset + i] = static_cast<T>(scale * one(key, i) + shift);
  }
  double one(const RandomKey& key, int64_t i) const {
    const auto index = static_cast<uint64_t>(i);
    switch (distribution) {
      case Distribution::uniform:
        return random_uniform(key, index);
      case Distribution::normal:
        return random_normal(key, index);
      default:
        return random_rademacher(key, index);
    }
  }
};

}  // namespace

NativeVector::NativeVector(const Napi::CallbackInfo& info) : Wrapped(info) {
  translated(info.Env(), [&] {
    const DType dtype = to_dtype(info[0], "dtype");
    const int64_t rows = to_int(info[1], "rows", 1), size = to_int(info[2], "size");
    const Backend& backend = info[3].IsUndefined() ? cpu_backend() : backend_of(to_text(info[3], "device"));
    if (size > 0 && rows > kMaxBytes / dtype_bytes(dtype) / size)
      throw Error("OUT_OF_MEMORY", "could not allocate " + std::to_string(rows) + " rows of " + std::to_string(size) +
                                       " elements of " + dtype_name(dtype));
    vector_ = std::make_shared<Vector>(dtype, rows, size, backend.device());
    account(vector_->bytes());
  });
}

void NativeVector::add_to(Napi::Env env, Napi::Object exports) {
  exports["Vector"] = DefineClass(env, "Vector",
                                  {getter<&NativeVector::dtype>("dtype"), getter<&NativeVector::rows>("rows"),
                                   getter<&NativeVector::size>("size"), method<&NativeVector::read>("read"),
                                   method<&NativeVector::write>("write"), method<&NativeVector::random>("random"),
                                   method<&NativeVector::fill>("fill"), method<&NativeVector::dispose>("dispose")});
}

std::shared_ptr<Vector> NativeVector::get(Napi::Value value, const std::string& name) {
  return from(value, name)->vector();
}

const std::shared_ptr<Vector>& NativeVector::vector() const {
  if (!vector_) throw_disposed();
  return vector_;
}

Napi::Value NativeVector::dtype(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), dtype_name(vector()->dtype()));
}
Napi::Value NativeVector::rows(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(vector()->rows()));
}
Napi::Value NativeVector::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(vector()->size()));
}

Napi::Value NativeVector::read(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Vector> source = vector();
  const int64_t row = to_int(info[0], "row"), offset = to_int(info[1], "offset");
  const Elements target = to_elements(info[2], "target", source->dtype());
  check_range(*source, row, offset, target.count);
  const JobLock lock = lock_read(source, "the vector");
  source->read(row, offset, target.count, target.data);
  return info.Env().Undefined();
}

Napi::Value NativeVector::write(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Vector> target = vector();
  const int64_t row = to_int(info[0], "row"), offset = to_int(info[1], "offset");
  const Elements source = to_elements(info[2], "source", target->dtype());
  check_range(*target, row, offset, source.count);
  const JobLock lock = lock_write(target, "the vector");
  target->write(row, offset, source.count, source.data);
  return info.Env().Undefined();
}

Napi::Value NativeVector::random(const Napi::CallbackInfo& info) {
  const Napi::Object options = to_object(info[0], "options");
  const Draw draw{to_choice<Distribution>(options["distribution"], "distribution",
                                          {{"uniform", Distribution::uniform},
                                           {"normal", Distribution::normal},
                                           {"rademacher", Distribution::rademacher}}),
                  to_int(options["offset"], "offset"), to_int(options["length"], "length"),
                  to_finite(options["scale"], "scale"), to_finite(options["shift"], "shift")};
  const auto purpose = to_choice<Purpose>(
      options["purpose"], "purpose",
      {{"init", Purpose::init}, {"order", Purpose::order}, {"augment", Purpose::augment}, {"probe", Purpose::probe}});
  const uint32_t stream = to_uint32(options["stream"], "stream"), epoch = to_uint32(options["epoch"], "epoch"),
                 step = to_uint32(options["step"], "step");
  const std::vector<int64_t> seeds = to_ints(options["seeds"], "seeds");

  const std::shared_ptr<Vector> target = vector();
  const bool single = target->dtype() == DType::f32;
  if (!single && target->dtype() != DType::f64)
    throw Error("INVALID_ARGUMENT", std::string("random: expected a vector of float32 or float64, got one of ") +
                                        dtype_name(target->dtype()));
  if (static_cast<int64_t>(seeds.size()) != target->rows())
    throw Error("INVALID_ARGUMENT", "seeds: expected one per row (" + std::to_string(target->rows()) + "), got " +
                                        std::to_string(seeds.size()));
  check_range(*target, 0, draw.offset, draw.length);
  const JobLock lock = lock_write(target, "the vector");

  constexpr int64_t kPiece = 1 << 14;
  const int64_t pieces = (draw.length + kPiece - 1) / kPiece;
  const int threads = pieces * target->rows() > 1 ? hardware_threads() : 1;
  change_on_host(*target, draw.offset, draw.length, [&](const Vector& host) {
    parallel_for(threads, pieces * target->rows(), [&](int64_t item, int) {
      const int64_t row = item / pieces, begin = item % pieces * kPiece, end = std::min(begin + kPiece, draw.length);
      const auto seed = static_cast<uint64_t>(seeds[row]);
      const RandomKey key{static_cast<uint32_t>(seed),
                          static_cast<uint32_t>(seed >> 32),
                          static_cast<uint32_t>(purpose),
                          stream,
                          epoch,
                          step};
      if (single) {
        draw.into(host.as<float>(row), key, begin, end);
      } else {
        draw.into(host.as<double>(row), key, begin, end);
      }
    });
  });
  return info.Env().Undefined();
}

Napi::Value NativeVector::fill(const Napi::CallbackInfo& info) {
  using Int = std::numeric_limits<int32_t>;
  const std::shared_ptr<Vector> target = vector();
  const DType dtype = target->dtype();
  double value = to_real(info[0], "value");
  if (dtype == DType::i32) value = static_cast<double>(to_int(info[0], "value", Int::min(), Int::max()));
  if (dtype == DType::u8) value = static_cast<double>(to_int(info[0], "value", 0, 255));
  const JobLock lock = lock_write(target, "the vector");
  change_on_host(*target, 0, target->size(), [&](const Vector& host) {
    if (dtype == DType::f32) fill_all<float>(host, value);
    if (dtype == DType::f64) fill_all<double>(host, value);
    if (dtype == DType::i32) fill_all<int32_t>(host, value);
    if (dtype == DType::u8) fill_all<uint8_t>(host, value);
  });
  return info.Env().Undefined();
}

Napi::Value NativeVector::dispose(const Napi::CallbackInfo& info) {
  vector_.reset();
  account(0);
  return info.Env().Undefined();
}

void add_vector(Napi::Env env, Napi::Object exports) { NativeVector::add_to(env, exports); }

}  // namespace ptmz
