// Products with a bias through cuBLASLt: their descriptors, and what was found for them.
#include "backend/cuda/cublas_lt.h"

#include <utility>

namespace ptmz::cuda {
namespace {

constexpr uint32_t kMostAlignment = 256;  // that the library asks for
constexpr uint32_t kBiasAlignment = 16;

// The largest power of two that divides the addresses of all items.
uint32_t alignment_of(const void* data, int64_t stride) {
  const uint64_t bits =
      reinterpret_cast<uintptr_t>(data) | static_cast<uint64_t>(stride) * sizeof(float) | kMostAlignment;
  return static_cast<uint32_t>(bits & -bits);
}
uint32_t alignment_of(const Matrices& m) { return alignment_of(m.data, m.stride); }

// A descriptor with the function that ends it.
template <typename Data>
using Owned = std::unique_ptr<Data, int (*)(Data*)>;

// A descriptor that `create` makes; null where it fails.
template <typename Data, typename Create>
Owned<Data> made(const Create& create, int (*destroy)(Data*)) {
  Data* descriptor = nullptr;
  const bool good = create(&descriptor) == 0;
  return {good ? descriptor : nullptr, destroy};
}

// Sets attributes of a descriptor until one is refused.
template <typename Data>
struct Attributes {
  Data* descriptor;
  int (*set)(Data*, int, const void*, size_t);
  bool good = true;

  template <typename Value>
  Attributes& with(int attribute, Value value) {
    good = good && set(descriptor, attribute, &value, sizeof value) == 0;
    return *this;
  }
};

// A batch of matrices whose columns are our rows.
Owned<CublasLt::LayoutData> layout_of(const CublasLt& library, const Matrices& m, int64_t rows, int64_t columns,
                                      int64_t items) {
  if (!m.transposed) std::swap(rows, columns);
  const auto create = [&](CublasLt::Layout* layout) {
    return library.create_layout(layout, Cublas::kFloat32, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns),
                                 m.lead);
  };
  auto layout = made<CublasLt::LayoutData>(create, library.destroy_layout);
  if (!layout) return layout;
  const bool good = Attributes<CublasLt::LayoutData>{layout.get(), library.set_layout}
                        .with(CublasLt::kItems, static_cast<int32_t>(items))
                        .with(CublasLt::kItemStride, m.stride)
                        .good;
  if (!good) layout.reset();
  return layout;
}

}  // namespace

bool is_aligned(const Bias& bias) { return alignment_of(bias.data, bias.stride) >= kBiasAlignment; }

// As in cublas.cpp the library's A is our b and its B our a, all of them transposed: what it adds to each row we add to
// each column.
struct BiasProducts::Plan {
  Owned<CublasLt::OperationData> operation;
  Owned<CublasLt::LayoutData> a, b, c;
  CublasLt::Algorithm algorithm;
};

BiasProducts::BiasProducts(const CublasLt& library) : library_(library) {}

BiasProducts::~BiasProducts() {
  if (handle_ != nullptr) library_.destroy(handle_);
}

void BiasProducts::open() {
  if (library_.available() && library_.create(&handle_) != 0) handle_ = nullptr;
}

std::unique_ptr<BiasProducts::Plan> BiasProducts::find(const MatrixProduct& p, const Bias& bias, int compute,
                                                       size_t workspace_bytes) const {
  const auto create = [&](CublasLt::Operation* operation) {
    return library_.create_operation(operation, compute, Cublas::kFloat32);
  };
  Plan plan{made<CublasLt::OperationData>(create, library_.destroy_operation),
            layout_of(library_, p.b, p.k, p.n, p.items),
            layout_of(library_, p.a, p.m, p.k, p.items),
            layout_of(library_, p.c, p.m, p.n, p.items),
            {}};
  const auto preference = made<CublasLt::PreferenceData>(library_.create_preference, library_.destroy_preference);
  if (!plan.operation || !plan.a || !plan.b || !plan.c || !preference) return nullptr;
  const bool described = Attributes<CublasLt::OperationData>{plan.operation.get(), library_.set_operation}
                             .with(CublasLt::kTransposeA, int32_t{p.b.transposed})
                             .with(CublasLt::kTransposeB, int32_t{p.a.transposed})
                             .with(CublasLt::kEpilogue, CublasLt::kAddBias)
                             .with(CublasLt::kBiasPointer, bias.data)
                             .with(CublasLt::kBiasStride, bias.stride)
                             .good;
  const bool limited = Attributes<CublasLt::PreferenceData>{preference.get(), library_.set_preference}
                           .with(CublasLt::kMostWorkspace, uint64_t{workspace_bytes})
                           .with(CublasLt::kAlignmentA, alignment_of(p.b))
                           .with(CublasLt::kAlignmentB, alignment_of(p.a))
                           .with(CublasLt::kAlignmentC, alignment_of(p.c))
                           .with(CublasLt::kAlignmentD, alignment_of(p.c))
                           .good;
  CublasLt::Found best{};
  int count = 0;
  const bool found = described && limited &&
                     library_.find(handle_, plan.operation.get(), plan.a.get(), plan.b.get(), plan.c.get(),
                                   plan.c.get(), preference.get(), 1, &best, &count) == 0;
  if (!found || count < 1 || best.status != 0) return nullptr;
  plan.algorithm = best.algorithm;
  return std::make_unique<Plan>(std::move(plan));
}

bool BiasProducts::multiply(const MatrixProduct& p, const Bias& bias, int compute, void* workspace,
                            size_t workspace_bytes, cudaStream_t stream) {
  if (handle_ == nullptr) return false;
  const Key key{p.m,
                p.n,
                p.k,
                p.items,
                p.a.transposed,
                p.a.lead,
                p.a.stride,
                p.b.lead,
                p.b.stride,
                p.b.transposed,
                p.c.lead,
                p.c.stride,
                bias.stride,
                compute,
                alignment_of(p.a),
                alignment_of(p.b),
                alignment_of(p.c),
                alignment_of(bias.data, bias.stride)};
  const auto [place, fresh] = plans_.try_emplace(key);
  std::unique_ptr<Plan>& plan = place->second;
  if (fresh) plan = find(p, bias, compute, workspace_bytes);
  if (!plan) return false;
  const float one = 1, zero = 0;
  const bool launched =
      library_.set_operation(plan->operation.get(), CublasLt::kBiasPointer, &bias.data, sizeof bias.data) == 0 &&
      library_.multiply(handle_, plan->operation.get(), &one, p.b.data, plan->a.get(), p.a.data, plan->b.get(), &zero,
                        p.c.data, plan->c.get(), p.c.data, plan->c.get(), &plan->algorithm, workspace, workspace_bytes,
                        stream) == 0;
  if (launched) return true;
  // For good: a product must not be computed in one way now and in another one later.
  plan.reset();
  cudaGetLastError();
  return false;
}

}  // namespace ptmz::cuda
