// A stand-in for cuBLASLt on the emulated device: products that add a bias. It checks what the library checks; an
// algorithm is for the product alone that it was found for, and needs the alignment that it was promised.
#include <algorithm>
#include <bit>
#include <cstring>

#include "backend/cuda/cublas_lt.h"
#include "backend/cuda/host/products_on_host.h"

struct cublasLtContext {};

namespace {

cuda_on_host::LtFails lt_fails = cuda_on_host::LtFails::nowhere;

}  // namespace

void cuda_on_host::set_lt_fails(LtFails where) { lt_fails = where; }

namespace ptmz::cuda {

struct CublasLt::OperationData {
  int compute, scale_type;
  int32_t transpose_a = 0, transpose_b = 0, epilogue = 1;
  const void* bias = nullptr;
  int64_t bias_stride = 0;
};
struct CublasLt::LayoutData {
  int type;
  int64_t rows, columns, lead;
  int32_t items = 1;
  int64_t stride = 0;
};
struct CublasLt::PreferenceData {
  uint64_t workspace_bytes = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};
};

namespace {

constexpr int kInvalidValue = 7, kExecutionFailed = 13, kNotSupported = 15;

using Lt = CublasLt;

// Sets an attribute that has the size of what holds it.
template <typename Value>
int set(Value& to, const void* value, size_t bytes) {
  if (bytes != sizeof to || value == nullptr) return kInvalidValue;
  std::memcpy(&to, value, bytes);
  return 0;
}

int set_operation(Lt::Operation o, int attribute, const void* value, size_t bytes) {
  switch (attribute) {
    case Lt::kTransposeA:
      return set(o->transpose_a, value, bytes);
    case Lt::kTransposeB:
      return set(o->transpose_b, value, bytes);
    case Lt::kEpilogue:
      return set(o->epilogue, value, bytes);
    case Lt::kBiasPointer:
      return set(o->bias, value, bytes);
    case Lt::kBiasStride:
      return set(o->bias_stride, value, bytes);
    default:
      return kInvalidValue;
  }
}
int set_layout(Lt::Layout l, int attribute, const void* value, size_t bytes) {
  switch (attribute) {
    case Lt::kItems:
      return set(l->items, value, bytes);
    case Lt::kItemStride:
      return set(l->stride, value, bytes);
    default:
      return kInvalidValue;
  }
}
int set_preference(Lt::Preference p, int attribute, const void* value, size_t bytes) {
  if (attribute == Lt::kMostWorkspace) return set(p->workspace_bytes, value, bytes);
  if (attribute < Lt::kAlignmentA || attribute > Lt::kAlignmentD) return kInvalidValue;
  return set(p->alignment[attribute - Lt::kAlignmentA], value, bytes);
}

// The sizes of a product whose descriptors fit each other.
struct Sizes {
  int64_t m, n, k;
  bool good;
};
Sizes sizes_of(const Lt::OperationData& o, const Lt::LayoutData& a, const Lt::LayoutData& b, const Lt::LayoutData& c) {
  const Sizes s{c.rows, c.columns, o.transpose_a ? a.rows : a.columns, true};
  const bool fit = (o.transpose_a ? a.columns : a.rows) == s.m && (o.transpose_b ? b.rows : b.columns) == s.n &&
                   (o.transpose_b ? b.columns : b.rows) == s.k && a.items == c.items && b.items == c.items;
  const auto leads = [](const Lt::LayoutData& l) { return l.lead >= std::max<int64_t>(1, l.rows) && l.items > 0; };
  return {s.m, s.n, s.k, fit && leads(a) && leads(b) && leads(c)};
}
// The library has this only in float32.
bool knows(const Lt::OperationData& o, const Lt::LayoutData& a, const Lt::LayoutData& b, const Lt::LayoutData& c) {
  const bool single = o.scale_type == Cublas::kFloat32 && o.compute != Cublas::kCompute64 &&
                      a.type == Cublas::kFloat32 && b.type == Cublas::kFloat32 && c.type == Cublas::kFloat32;
  return single && o.epilogue == Lt::kAddBias && o.bias != nullptr;
}
// What an algorithm holds: for which product it was found, and what may be read at once of each matrix and of the bias.
Lt::Algorithm algorithm_of(const Lt::OperationData& o, const Sizes& s, const Lt::LayoutData& c,
                           const uint32_t (&alignment)[4]) {
  const uint64_t bias = uint64_t{1} << std::min(4, std::countr_zero(reinterpret_cast<uintptr_t>(o.bias)));
  return {{static_cast<uint64_t>(s.m), static_cast<uint64_t>(s.n), static_cast<uint64_t>(s.k),
           static_cast<uint64_t>(c.items), alignment[0] | uint64_t{alignment[1]} << 32,
           alignment[2] | uint64_t{alignment[3]} << 32, bias, static_cast<uint64_t>(o.compute)}};
}

int find(Lt::Handle, Lt::Operation o, Lt::Layout a, Lt::Layout b, Lt::Layout c, Lt::Layout d, Lt::Preference preference,
         int most, Lt::Found* found, int* count) {
  *count = 0;
  const Sizes s = sizes_of(*o, *a, *b, *c);
  if (!s.good || d->rows != c->rows || most < 1) return kInvalidValue;
  if (!knows(*o, *a, *b, *c) || lt_fails == cuda_on_host::LtFails::finding) return kNotSupported;
  *found = {algorithm_of(*o, s, *c, preference->alignment), 0, 0, 1, {}};
  *count = 1;
  return 0;
}

bool is_aligned(const void* data, int64_t stride, uint64_t alignment) {
  return (reinterpret_cast<uintptr_t>(data) | static_cast<uint64_t>(stride) * sizeof(float)) % alignment == 0;
}

int multiply(Lt::Handle, Lt::Operation o, const void* alpha, const void* a, Lt::Layout a_layout, const void* b,
             Lt::Layout b_layout, const void* beta, const void* c, Lt::Layout c_layout, void* d, Lt::Layout d_layout,
             const Lt::Algorithm* algorithm, void*, size_t, cudaStream_t stream) {
  const Sizes s = sizes_of(*o, *a_layout, *b_layout, *c_layout);
  if (!s.good || !knows(*o, *a_layout, *b_layout, *c_layout) || c != d || c_layout != d_layout) return kInvalidValue;
  const uint64_t* const given = algorithm->data;
  const uint32_t promised[4] = {static_cast<uint32_t>(given[4]), static_cast<uint32_t>(given[4] >> 32),
                                static_cast<uint32_t>(given[5]), static_cast<uint32_t>(given[5] >> 32)};
  const Lt::Algorithm expected = algorithm_of(*o, s, *c_layout, promised);
  const bool same = std::equal(given, given + 6, expected.data) && given[7] == expected.data[7];
  const bool aligned = is_aligned(a, a_layout->stride, promised[0]) && is_aligned(b, b_layout->stride, promised[1]) &&
                       is_aligned(c, c_layout->stride, promised[2]) && is_aligned(d, d_layout->stride, promised[3]) &&
                       is_aligned(o->bias, o->bias_stride, given[6]);
  if (!same || !aligned) return kInvalidValue;
  if (lt_fails == cuda_on_host::LtFails::launching) return kExecutionFailed;
  const Problem p{o->transpose_a != 0,
                  o->transpose_b != 0,
                  s.m,
                  s.n,
                  s.k,
                  a_layout->lead,
                  a_layout->stride,
                  b_layout->lead,
                  b_layout->stride,
                  c_layout->lead,
                  c_layout->stride,
                  c_layout->items,
                  o->compute,
                  o->bias,
                  o->bias_stride};
  return run_product(stream, DType::f32, p, alpha, a, b, beta, d) == cudaSuccess ? 0 : kExecutionFailed;
}

}  // namespace

const CublasLt& cublas_lt() {
  static const CublasLt library{
      .create = [](Lt::Handle* handle) { return *handle = new cublasLtContext, 0; },
      .destroy = [](Lt::Handle handle) { return delete handle, 0; },
      .create_operation =
          [](Lt::Operation* made, int compute, int type) {
            return *made = new Lt::OperationData{compute, type}, 0;
          },
      .destroy_operation = [](Lt::Operation operation) { return delete operation, 0; },
      .set_operation = set_operation,
      .create_layout =
          [](Lt::Layout* made, int type, uint64_t rows, uint64_t columns, int64_t lead) {
            *made = new Lt::LayoutData{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), lead};
            return 0;
          },
      .destroy_layout = [](Lt::Layout layout) { return delete layout, 0; },
      .set_layout = set_layout,
      .create_preference = [](Lt::Preference* made) { return *made = new Lt::PreferenceData, 0; },
      .destroy_preference = [](Lt::Preference preference) { return delete preference, 0; },
      .set_preference = set_preference,
      .find = find,
      .multiply = multiply};
  return library;
}

}  // namespace ptmz::cuda
