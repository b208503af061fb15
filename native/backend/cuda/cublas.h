// cuBLAS through dlopen: the few functions used, declared by hand so that no header is needed to build and no library
// to load. cublas_prototypes.cpp holds them against the real header where that is installed.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "backend/cuda/runtime.h"

struct cublasContext;

namespace ptmz::cuda {

struct Cublas {
  using Handle = cublasContext*;
  // Enumerations are ints. Matrices are column-major.
  using Gemm = int (*)(Handle, int a_transposed, int b_transposed, int m, int n, int k, const void* alpha,
                       const void* a, int a_type, int a_lead, long long a_stride, const void* b, int b_type, int b_lead,
                       long long b_stride, const void* beta, void* c, int c_type, int c_lead, long long c_stride,
                       int batch, int compute, int algorithm);
  int (*create)(Handle*);
  int (*destroy)(Handle);
  int (*set_stream)(Handle, cudaStream_t);
  int (*set_workspace)(Handle, void*, size_t);
  int (*get_property)(int, int*);
  Gemm gemm;  // cublasGemmStridedBatchedEx
  int major_version;
  std::string version;  // "13.1.1", or why there is none

  bool available() const { return create != nullptr; }

  // cudaDataType, cublasComputeType_t and cublasGemmAlgo_t.
  static constexpr int kFloat32 = 0, kFloat64 = 1, kDefaultAlgorithm = -1;
  static constexpr int kCompute32 = 68, kCompute64 = 70, kCompute32Bf16 = 75, kCompute32Tf32 = 77;
};

// Looked for once: $PTMZ_CUBLAS ("off": nowhere), the loader's path, CUDA's folder, the Python environment that is
// active; version 13, then 12.
const Cublas& cublas();

// A batch of row-major matrices whose items lie `stride` elements apart; `lead` elements from row to row, or where it
// is `transposed` from column to column.
struct Matrices {
  void* data;
  bool transposed;
  int64_t lead, stride;
};
// c (m,n) = a (m,k) b (k,n), or c += where it `adds`, for every item of the batch.
struct MatrixProduct {
  int64_t m, n, k, items;
  Matrices a, b, c;
  bool adds;
};
// Whether all numbers are such as the library takes.
bool fits(const MatrixProduct& product);

struct CublasLt;
struct Bias;
class BiasProducts;

// One stream's handles and workspace, made when the first product comes; all products on it are in its order.
class Products {
 public:
  Products(const Cublas& library, const CublasLt& with_bias, cudaStream_t stream);
  Products(const Products&) = delete;
  ~Products();
  // Whether products can be computed; what needs memory of its own is allocated here.
  bool open();
  cudaError_t multiply(const MatrixProduct& product, DType real, Precision precision);
  // c = a b + bias in float32, where cuBLASLt can (cublas_lt.h); false: nothing was launched.
  bool multiply_with_bias(const MatrixProduct& product, const Bias& bias, Precision precision);

 private:
  bool start();

  const Cublas& library_;
  const cudaStream_t stream_;
  Cublas::Handle handle_ = nullptr;
  void* workspace_ = nullptr;
  const std::unique_ptr<BiasProducts> with_bias_;
  bool failed_ = false;
};

}  // namespace ptmz::cuda
