// The addon: its exports, what each environment keeps, and how an environment ends.
#include <string>
#include <vector>

#include "backend/cpu/blas.h"
#include "backend/cpu/simd.h"
#include "backend/device.h"
#include "environment.h"
#include "errors.h"
#include "job.h"
#include "node_addon.h"
#include "runtime/executor.h"
#include "runtime/vector.h"

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#endif

#ifndef PTMZ_VERSION
#define PTMZ_VERSION "unknown"
#endif

namespace ptmz {
namespace {

#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#elif defined(__GNUC__)
constexpr const char* kCompiler = "gcc " __VERSION__;
#else
constexpr const char* kCompiler = "unknown";
#endif

// A process whose last worker with this addon has ended would unload it; libraries linked into it (OpenBLAS) have
// threads and thread-local destructors that must find their code.
void stay_loaded() {
#if defined(__unix__) || defined(__APPLE__)
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&stay_loaded), &self) != 0)
    dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
#endif
}

Napi::Object to_object(Napi::Env env, const DeviceDescription& device) {
  Napi::Object object = Napi::Object::New(env);
  object["name"] = Napi::String::New(env, device.name);
  object["available"] = Napi::Boolean::New(env, device.reason.empty());
  if (!device.detail.empty()) object["detail"] = Napi::String::New(env, device.detail);
  if (!device.reason.empty()) object["reason"] = Napi::String::New(env, device.reason);
  return object;
}

Napi::Value info(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  return translated(env, [&]() -> Napi::Value {
    const std::vector<std::string> levels = cpu::simd_levels();
    Napi::Array available = Napi::Array::New(env, levels.size());
    for (uint32_t i = 0; i < levels.size(); ++i) available[i] = Napi::String::New(env, levels[i]);
    Napi::Object simd = Napi::Object::New(env);
    simd["used"] = Napi::String::New(env, cpu::kernels().level);
    simd["available"] = available;
    Napi::Array devices = Napi::Array::New(env);
    devices[uint32_t{0}] = to_object(env, {"cpu", "", ""});
    for (const DeviceDescription& device : describe_devices()) devices[devices.Length()] = to_object(env, device);

    Napi::Object object = Napi::Object::New(env);
    object["version"] = Napi::String::New(env, PTMZ_VERSION);
    object["compiler"] = Napi::String::New(env, kCompiler);
    object["blas"] = Napi::String::New(env, cpu::blas_name());
    object["simd"] = simd;
    object["threads"] = Napi::Number::New(env, hardware_threads());
    object["devices"] = devices;
    return object;
  });
}

Napi::Value jobs_of_device(const Napi::CallbackInfo& call) {
  return translated(call.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(call.Env(), jobs_at_once(backend_of(call[0].ToString().Utf8Value()).device()));
  });
}

Napi::Value native_bytes_held(const Napi::CallbackInfo& call) {
  return Napi::Number::New(call.Env(), static_cast<double>(native_bytes()));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  stay_loaded();
  env.SetInstanceData(new Environment);
  // All jobs hear of the end before the first one is waited for.
  env.AddCleanupHook([jobs = Environment::of(env).jobs] { stop_jobs(*jobs); });
  add_graph(env, exports);
  add_program(env, exports);
  add_vector(env, exports);
  add_training(env, exports);
  add_curvature(env, exports);
  exports["info"] = Napi::Function::New(env, info, "info");
  exports["jobsAtOnce"] = Napi::Function::New(env, jobs_of_device, "jobsAtOnce");
  exports["nativeBytes"] = Napi::Function::New(env, native_bytes_held, "nativeBytes");
  return exports;
}

}  // namespace
}  // namespace ptmz

static Napi::Object initialise(Napi::Env env, Napi::Object exports) { return ptmz::init(env, exports); }
NODE_API_MODULE(ptmz_native, initialise)
