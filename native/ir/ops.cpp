// The tables behind op.def and fused.def: names, arities, flags.
#include <array>

#include "ir/graph.h"

namespace ptmz {
namespace {

enum Flag : unsigned { none = 0, leaf = 1, elementwise = 2, view = 4, nondiff = 8, commutative = 16 };

constexpr OpInfo make(const char* name, int arity, unsigned flags) {
  return {name,
          arity,
          (flags & leaf) != 0,
          (flags & elementwise) != 0,
          (flags & view) != 0,
          (flags & nondiff) != 0,
          (flags & commutative) != 0};
}

constexpr OpInfo kOps[] = {
#define PTMZ_OP(name, arity, kind, flags) make(#name, arity, flags),
#include "ir/op.def"
};

const FusedInfo kFused[] = {
#define PTMZ_FUSED(name, arity, backward, rule, kernel) {#name, arity, Fused::backward, rule, kernel},
#include "ir/fused.def"
};

}  // namespace

const OpInfo& info(Op op) { return kOps[static_cast<int>(op)]; }

Op op_from_name(std::string_view name) {
  for (size_t i = 0; i < std::size(kOps); ++i)
    if (name == kOps[i].name) return static_cast<Op>(i);
  throw Error("INVALID_ARGUMENT", "op: expected a name from op.def, got '" + std::string(name) + "'");
}

const FusedInfo& info(Fused fused) { return kFused[static_cast<int64_t>(fused)]; }

Fused fused_from_name(std::string_view name) {
  for (size_t i = 0; i < std::size(kFused); ++i)
    if (name == kFused[i].name) return static_cast<Fused>(i);
  throw Error("INVALID_ARGUMENT", "fused: expected a name from fused.def, got '" + std::string(name) + "'");
}

ConvAttrs ConvAttrs::from(const int64_t* i) {
  return {i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10]};
}

PoolAttrs PoolAttrs::from(const int64_t* i) { return {i[0], i[1], i[2], i[3], i[4], i[5]}; }

}  // namespace ptmz
