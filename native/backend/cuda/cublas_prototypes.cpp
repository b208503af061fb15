// A compile-time test: the prototypes of cublas.h are those of the installed header, enumerations being ints.
#include <cublas_v2.h>

#include <tuple>
#include <type_traits>

#include "backend/cuda/cublas.h"

namespace ptmz::cuda {
namespace {

template <typename T, bool = std::is_enum_v<T>>
struct Plain {
  using Type = T;
};
template <typename T>
struct Plain<T, true> {
  static_assert(sizeof(T) == sizeof(int));
  using Type = int;
};

template <typename Function>
struct Signature;
template <typename Result, typename... Arguments>
struct Signature<Result (*)(Arguments...)> {
  using Type = std::tuple<typename Plain<Result>::Type, typename Plain<Arguments>::Type...>;
};
template <typename Declared, typename Real>
constexpr bool same = std::is_same_v<typename Signature<Declared>::Type, typename Signature<Real>::Type>;

static_assert(same<decltype(Cublas::create), decltype(&cublasCreate_v2)>);
static_assert(same<decltype(Cublas::destroy), decltype(&cublasDestroy_v2)>);
static_assert(same<decltype(Cublas::set_stream), decltype(&cublasSetStream_v2)>);
static_assert(same<decltype(Cublas::set_workspace), decltype(&cublasSetWorkspace_v2)>);
static_assert(same<decltype(Cublas::get_property), decltype(&cublasGetProperty)>);
// The header overloads it for C++; this is the exported one.
using GemmEx = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                                  const void*, cudaDataType, int, long long, const void*, cudaDataType, int, long long,
                                  const void*, void*, cudaDataType, int, long long, int, cublasComputeType_t,
                                  cublasGemmAlgo_t);
[[maybe_unused]] constexpr GemmEx kGemm = &cublasGemmStridedBatchedEx;
static_assert(same<Cublas::Gemm, GemmEx>);
static_assert(static_cast<int>(CUDA_R_32F) == Cublas::kFloat32 && static_cast<int>(CUDA_R_64F) == Cublas::kFloat64);
static_assert(static_cast<int>(CUBLAS_COMPUTE_32F) == Cublas::kCompute32);
static_assert(static_cast<int>(CUBLAS_COMPUTE_64F) == Cublas::kCompute64);
static_assert(static_cast<int>(CUBLAS_COMPUTE_32F_FAST_TF32) == Cublas::kCompute32Tf32);
static_assert(static_cast<int>(CUBLAS_COMPUTE_32F_FAST_16BF) == Cublas::kCompute32Bf16);
static_assert(static_cast<int>(CUBLAS_GEMM_DEFAULT) == Cublas::kDefaultAlgorithm);
static_assert(static_cast<int>(CUBLAS_OP_N) == 0 && static_cast<int>(CUBLAS_OP_T) == 1);
static_assert(static_cast<int>(CUBLAS_STATUS_SUCCESS) == 0 && static_cast<int>(MAJOR_VERSION) == 0);

}  // namespace
}  // namespace ptmz::cuda
