// cuBLAS through dlopen: the few functions used, declared by hand so that no header is needed to build and no library
// to load. cublas_prototypes.cpp holds them against the real header where that is installed.
#pragma once
#include <cstddef>
#include <string>

#include "backend/cuda/runtime.h"

struct cublasContext;

namespace ptmz::cuda {

struct Cublas {
  using Handle = cublasContext*;
  // Enumerations are ints. Matrices are column-major.
  template <typename T>
  using Gemm = int (*)(Handle, int a_transposed, int b_transposed, int m, int n, int k, const T* alpha, const T* a,
                       int a_lead, long long a_stride, const T* b, int b_lead, long long b_stride, const T* beta, T* c,
                       int c_lead, long long c_stride, int batch);
  int (*create)(Handle*);
  int (*destroy)(Handle);
  int (*set_stream)(Handle, cudaStream_t);
  int (*set_workspace)(Handle, void*, size_t);
  int (*get_property)(int, int*);
  Gemm<float> sgemm;
  Gemm<double> dgemm;
  std::string version;  // "13.1.1", or why there is none

  bool available() const { return create != nullptr; }
};

// Looked for once: $PTMZ_CUBLAS ("off": nowhere), the loader's path, CUDA's folder, the Python environment that is
// active; version 13, then 12.
const Cublas& cublas();

// One stream's handle and workspace, made when the first large product comes; all products on it are in its order.
class Products {
 public:
  Products(const Cublas& library, cudaStream_t stream) : library_(library), stream_(stream) {}
  Products(const Products&) = delete;
  ~Products();
  // Whether cuBLAS should and can compute this launch; else it is one for our own kernels.
  bool take(const DeviceLaunch& launch);
  cudaError_t run(const DeviceLaunch& launch);

 private:
  bool open();
  template <typename T>
  int multiply(const DeviceLaunch& launch, Cublas::Gemm<T> gemm) const;

  const Cublas& library_;
  const cudaStream_t stream_;
  Cublas::Handle handle_ = nullptr;
  void* workspace_ = nullptr;
  bool failed_ = false;
};

}  // namespace ptmz::cuda
