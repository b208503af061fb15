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
static_assert(same<decltype(Cublas::sgemm), decltype(&cublasSgemmStridedBatched)>);
static_assert(same<decltype(Cublas::dgemm), decltype(&cublasDgemmStridedBatched)>);
static_assert(static_cast<int>(CUBLAS_OP_N) == 0 && static_cast<int>(CUBLAS_OP_T) == 1);
static_assert(static_cast<int>(CUBLAS_STATUS_SUCCESS) == 0 && static_cast<int>(MAJOR_VERSION) == 0);

}  // namespace
}  // namespace ptmz::cuda
