// The kernel table of this SIMD level.
#include "backend/cpu/kernel.h"
#include "backend/cpu/kernels/width.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {

#define PTMZ_TEXT_OF(x) #x
#define PTMZ_TEXT(x) PTMZ_TEXT_OF(x)

const KernelTable& table() {
  static const KernelTable table = [] {
    KernelTable t = {};
    t.level = PTMZ_TEXT(PTMZ_SIMD_LEVEL);
    t.vector_bytes = kVectorBytes;
    add_elementwise(t);
    add_reductions(t);
    add_contractions(t);
    add_indexing(t);
    add_reordering(t);
    add_batch_norm(t);
    add_layer_norm(t);
    add_attention(t);
    add_fused(t);
    add_row_loops(t);
    return t;
  }();
  return table;
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
