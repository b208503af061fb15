// cuBLASLt through dlopen: matrix products that add a bias to what they store. Declared by hand, as cublas.h is.
#pragma once
#include <array>
#include <map>
#include <memory>

#include "backend/cuda/cublas.h"

struct cublasLtContext;

namespace ptmz::cuda {

struct CublasLt {
  // What its opaque pointers point to.
  struct OperationData;
  struct LayoutData;
  struct PreferenceData;
  using Handle = cublasLtContext*;
  using Operation = OperationData*;
  using Layout = LayoutData*;
  using Preference = PreferenceData*;
  struct Algorithm {
    uint64_t data[8];
  };
  struct Found {
    Algorithm algorithm;
    size_t workspace_bytes;
    int status;
    float waves;
    int reserved[4];
  };
  int (*create)(Handle*);
  int (*destroy)(Handle);
  int (*create_operation)(Operation*, int compute, int scale_type);
  int (*destroy_operation)(Operation);
  int (*set_operation)(Operation, int attribute, const void* value, size_t bytes);
  int (*create_layout)(Layout*, int type, uint64_t rows, uint64_t columns, int64_t lead);
  int (*destroy_layout)(Layout);
  int (*set_layout)(Layout, int attribute, const void* value, size_t bytes);
  int (*create_preference)(Preference*);
  int (*destroy_preference)(Preference);
  int (*set_preference)(Preference, int attribute, const void* value, size_t bytes);
  int (*find)(Handle, Operation, Layout a, Layout b, Layout c, Layout d, Preference, int most, Found*, int* count);
  int (*multiply)(Handle, Operation, const void* alpha, const void* a, Layout, const void* b, Layout, const void* beta,
                  const void* c, Layout, void* d, Layout, const Algorithm*, void* workspace, size_t workspace_bytes,
                  cudaStream_t);

  bool available() const { return create != nullptr; }

  // Attributes and their values, each with its type.
  static constexpr int kTransposeA = 3, kTransposeB = 4, kEpilogue = 7;                     // int32_t
  static constexpr int kBiasPointer = 8;                                                    // const void*
  static constexpr int kBiasStride = 10;                                                    // int64_t
  static constexpr int kItems = 5;                                                          // int32_t
  static constexpr int kItemStride = 6;                                                     // int64_t
  static constexpr int kMostWorkspace = 1;                                                  // uint64_t
  static constexpr int kAlignmentA = 5, kAlignmentB = 6, kAlignmentC = 7, kAlignmentD = 8;  // uint32_t
  static constexpr int32_t kAddBias = 4;
};

// The one that cublas() has brought with it; looked for once.
const CublasLt& cublas_lt();

// A value for each column of a product, float32; those of the next item lie `stride` elements on.
struct Bias {
  const void* data;
  int64_t stride;
};
// Whether kernels may read several of its values at once. A kernel that does so where it must not is an error that no
// device recovers from.
bool is_aligned(const Bias& bias);

// Products with a bias. What the library has found for a product is kept: to find it takes longer than to launch it.
class BiasProducts {
 public:
  explicit BiasProducts(const CublasLt& library);
  BiasProducts(const BiasProducts&) = delete;
  ~BiasProducts();
  // Makes the handle, for which the library may allocate memory.
  void open();
  // c = a b + bias in float32, in one launch on the stream. False: the library has no way to compute it, or there is no
  // library, and nothing was launched.
  bool multiply(const MatrixProduct& product, const Bias& bias, int compute, void* workspace, size_t workspace_bytes,
                cudaStream_t stream);

 private:
  struct Plan;
  using Key = std::array<int64_t, 18>;
  std::unique_ptr<Plan> find(const MatrixProduct& product, const Bias& bias, int compute, size_t workspace_bytes) const;

  const CublasLt& library_;
  CublasLt::Handle handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;  // null: there is no way
};

}  // namespace ptmz::cuda
