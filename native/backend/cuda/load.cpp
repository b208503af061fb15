// dlopen of libptmz_cuda.
#include "backend/cuda/load.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>

namespace ptmz::cuda {
namespace {

// The folder of the library or program that holds this function.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&loaded_library), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::string library_path() {
  const char* given = std::getenv("PTMZ_CUDA_LIBRARY");
  return given != nullptr && *given != '\0' ? given : own_folder() + "/libptmz_cuda.so";
}

}  // namespace

LoadedLibrary load_library(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0)
    return {nullptr,
            "the CUDA library is not built; with an NVIDIA driver and the CUDA toolkit installed, build it with "
            "`PTMZ_CUDA=on npx ptmz build` (no file " +
                path + ")",
            path};
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return {nullptr, std::string("the CUDA library does not load: ") + dlerror(), path};
  const auto get = reinterpret_cast<GetApi>(dlsym(handle, kGetApi));
  if (get == nullptr) return {nullptr, path + " is not ptmz-native's CUDA library", path};
  const Api* api = get();
  if (api->version != kApiVersion)
    return {nullptr,
            "the CUDA library is of another version of ptmz-native: expected interface " + std::to_string(kApiVersion) +
                ", got " + std::to_string(api->version) + "; build it again",
            path};
  return {api, "", path};
}

const LoadedLibrary& loaded_library() {
  static const LoadedLibrary library = load_library(library_path());
  return library;
}

}  // namespace ptmz::cuda
