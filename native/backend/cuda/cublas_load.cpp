// Finding libcublas and libcublasLt on this machine.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "backend/cuda/cublas_lt.h"

namespace ptmz::cuda {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string> places() {
  const std::string given = environment("PTMZ_CUBLAS");
  if (given == "off" || given == "OFF" || given == "0") return {};
  if (!given.empty()) return {given};
  std::vector<std::string> folders{""};
  for (const std::string& home : {environment("CUDA_HOME"), environment("CUDA_PATH"), std::string("/usr/local/cuda")})
    if (!home.empty()) folders.push_back(home + "/lib64/");
  for (const std::string& python : {environment("VIRTUAL_ENV"), environment("CONDA_PREFIX")}) {
    if (python.empty()) continue;
    for (const char* version : {"3.10", "3.11", "3.12", "3.13", "3.14"})
      for (const char* package : {"cu13", "cublas"})
        folders.push_back(python + "/lib/python" + version + "/site-packages/nvidia/" + package + "/lib/");
  }
  std::vector<std::string> all;
  for (const char* name : {"libcublas.so.13", "libcublas.so.12"})
    for (const std::string& folder : folders) all.push_back(folder + name);
  return all;
}

template <typename F>
bool find(void* library, const char* name, F& function) {
  void* symbol = dlsym(library, name);
  std::memcpy(&function, &symbol, sizeof symbol);
  return symbol != nullptr;
}

Cublas load() {
  std::string reason = "not found (products use own kernels)";
  for (const std::string& place : places()) {
    void* library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    Cublas c{};
    const bool whole =
        find(library, "cublasCreate_v2", c.create) && find(library, "cublasDestroy_v2", c.destroy) &&
        find(library, "cublasSetStream_v2", c.set_stream) && find(library, "cublasSetWorkspace_v2", c.set_workspace) &&
        find(library, "cublasGetProperty", c.get_property) && find(library, "cublasGemmStridedBatchedEx", c.gemm);
    int version[3] = {};
    for (int i = 0; whole && i < 3; ++i) c.get_property(i, &version[i]);
    if (whole && version[0] >= 12) {
      c.major_version = version[0];
      c.version = std::to_string(version[0]) + "." + std::to_string(version[1]) + "." + std::to_string(version[2]);
      return c;
    }
    reason = place + " lacks what is needed";
    dlclose(library);
  }
  Cublas none{};
  none.version = environment("PTMZ_CUBLAS") == "off" ? "switched off by PTMZ_CUBLAS" : reason;
  return none;
}

// cuBLAS needs it and has loaded it: what has its name by now is of the same version and from the same place.
CublasLt load_lt() {
  if (!cublas().available()) return {};
  const std::string name = "libcublasLt.so." + std::to_string(cublas().major_version);
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  if (library == nullptr) return {};
  CublasLt l{};
  const bool whole = find(library, "cublasLtCreate", l.create) && find(library, "cublasLtDestroy", l.destroy) &&
                     find(library, "cublasLtMatmulDescCreate", l.create_operation) &&
                     find(library, "cublasLtMatmulDescDestroy", l.destroy_operation) &&
                     find(library, "cublasLtMatmulDescSetAttribute", l.set_operation) &&
                     find(library, "cublasLtMatrixLayoutCreate", l.create_layout) &&
                     find(library, "cublasLtMatrixLayoutDestroy", l.destroy_layout) &&
                     find(library, "cublasLtMatrixLayoutSetAttribute", l.set_layout) &&
                     find(library, "cublasLtMatmulPreferenceCreate", l.create_preference) &&
                     find(library, "cublasLtMatmulPreferenceDestroy", l.destroy_preference) &&
                     find(library, "cublasLtMatmulPreferenceSetAttribute", l.set_preference) &&
                     find(library, "cublasLtMatmulAlgoGetHeuristic", l.find) &&
                     find(library, "cublasLtMatmul", l.multiply);
  return whole ? l : CublasLt{};
}

}  // namespace

const CublasLt& cublas_lt() {
  static const CublasLt library = load_lt();
  return library;
}

const Cublas& cublas() {
  static const Cublas library = load();
  return library;
}

}  // namespace ptmz::cuda
