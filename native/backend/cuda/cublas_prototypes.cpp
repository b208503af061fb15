// A compile-time test: the prototypes of cublas.h and cublas_lt.h are those of the installed headers, enumerations
// being ints.
#include <cublasLt.h>
#include <cublas_v2.h>

#include <cstddef>
#include <tuple>
#include <type_traits>

#include "backend/cuda/cublas_lt.h"

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
template <typename T>
struct Plain<const T, false> {
  using Type = const typename Plain<T>::Type;
};
template <typename T>
struct Plain<T*, false> {
  using Type = typename Plain<T>::Type*;
};
template <>
struct Plain<cublasLtMatmulDescOpaque_t, false> {
  using Type = CublasLt::OperationData;
};
template <>
struct Plain<cublasLtMatrixLayoutOpaque_t, false> {
  using Type = CublasLt::LayoutData;
};
template <>
struct Plain<cublasLtMatmulPreferenceOpaque_t, false> {
  using Type = CublasLt::PreferenceData;
};
template <>
struct Plain<cublasLtMatmulAlgo_t, false> {
  using Type = CublasLt::Algorithm;
};
template <>
struct Plain<cublasLtMatmulHeuristicResult_t, false> {
  using Type = CublasLt::Found;
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

static_assert(same<decltype(CublasLt::create), decltype(&cublasLtCreate)>);
static_assert(same<decltype(CublasLt::destroy), decltype(&cublasLtDestroy)>);
static_assert(same<decltype(CublasLt::create_operation), decltype(&cublasLtMatmulDescCreate)>);
static_assert(same<decltype(CublasLt::destroy_operation), decltype(&cublasLtMatmulDescDestroy)>);
static_assert(same<decltype(CublasLt::set_operation), decltype(&cublasLtMatmulDescSetAttribute)>);
static_assert(same<decltype(CublasLt::create_layout), decltype(&cublasLtMatrixLayoutCreate)>);
static_assert(same<decltype(CublasLt::destroy_layout), decltype(&cublasLtMatrixLayoutDestroy)>);
static_assert(same<decltype(CublasLt::set_layout), decltype(&cublasLtMatrixLayoutSetAttribute)>);
static_assert(same<decltype(CublasLt::create_preference), decltype(&cublasLtMatmulPreferenceCreate)>);
static_assert(same<decltype(CublasLt::destroy_preference), decltype(&cublasLtMatmulPreferenceDestroy)>);
static_assert(same<decltype(CublasLt::set_preference), decltype(&cublasLtMatmulPreferenceSetAttribute)>);
static_assert(same<decltype(CublasLt::find), decltype(&cublasLtMatmulAlgoGetHeuristic)>);
static_assert(same<decltype(CublasLt::multiply), decltype(&cublasLtMatmul)>);
using Result = cublasLtMatmulHeuristicResult_t;
static_assert(sizeof(CublasLt::Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(CublasLt::Found) == sizeof(Result));
static_assert(offsetof(CublasLt::Found, workspace_bytes) == offsetof(Result, workspaceSize));
static_assert(offsetof(CublasLt::Found, status) == offsetof(Result, state));
static_assert(static_cast<int>(CUBLASLT_MATMUL_DESC_TRANSA) == CublasLt::kTransposeA);
static_assert(static_cast<int>(CUBLASLT_MATMUL_DESC_TRANSB) == CublasLt::kTransposeB);
static_assert(static_cast<int>(CUBLASLT_MATMUL_DESC_EPILOGUE) == CublasLt::kEpilogue);
static_assert(static_cast<int>(CUBLASLT_MATMUL_DESC_BIAS_POINTER) == CublasLt::kBiasPointer);
static_assert(static_cast<int>(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE) == CublasLt::kBiasStride);
static_assert(static_cast<int>(CUBLASLT_EPILOGUE_BIAS) == CublasLt::kAddBias);
static_assert(static_cast<int>(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) == CublasLt::kItems);
static_assert(static_cast<int>(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET) == CublasLt::kItemStride);
static_assert(static_cast<int>(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) == CublasLt::kMostWorkspace);
static_assert(static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) == CublasLt::kAlignmentA);
static_assert(static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES) == CublasLt::kAlignmentB);
static_assert(static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES) == CublasLt::kAlignmentC);
static_assert(static_cast<int>(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES) == CublasLt::kAlignmentD);

}  // namespace
}  // namespace ptmz::cuda
