// Kernel: what every CPU kernel looks like. Kernel files are compiled once per SIMD level (portable, avx2, avx512),
// each into its own namespace; backend.cpp picks a table at start. They use plain arrays and functions of their own
// namespace only: an inline library function compiled with AVX-512 here could be the copy the linker keeps for all.
#pragma once
#include "backend/backend.h"

#ifndef PTMZ_SIMD_LEVEL
#define PTMZ_SIMD_LEVEL portable
#endif

namespace ptmz::cpu {

struct Call {
  const Launch& launch;
  const Instr* instrs;    // of the whole program; the launch's begin at launch.instr_begin
  void* const* pointers;  // address of each operand's element 0 (its offset and member already added)
  int64_t begin, end;     // blocks
  void* scratch;          // launch.scratch_bytes of this thread's own, 64-byte aligned
  KernelFault& fault;
};
using Kernel = void (*)(const Call&);

// Loops of the solvers over many rows of n numbers.
template <typename T>
struct RowLoops {
  // out[t][r] = rows[r] . targets[t], in float64 and in an order that depends on n alone; one target or two.
  void (*inner_products)(const T* const* rows, int64_t count, const T* const* targets, int target_count, int64_t n,
                         double* const* out);
  // x += sum over r of factors[r] rows[r]; x is none of the rows.
  void (*add_rows)(T* x, const T* const* rows, const double* factors, int64_t count, int64_t n);
};

struct KernelTable {
  const char* level;
  int64_t vector_bytes;
  Kernel f32[static_cast<int>(LaunchCode::count)];
  Kernel f64[static_cast<int>(LaunchCode::count)];
  RowLoops<float> rows_f32;
  RowLoops<double> rows_f64;
  template <typename T>
  const RowLoops<T>& rows() const {
    if constexpr (sizeof(T) == 4)
      return rows_f32;
    else
      return rows_f64;
  }
};

namespace PTMZ_SIMD_LEVEL {
// Each kernel file enters its kernels; table.cpp calls them all.
void add_elementwise(KernelTable&);   // map, copy_index, iota, random
void add_reductions(KernelTable&);    // reduce_sum, reduce_max, argmax
void add_contractions(KernelTable&);  // matmul, conv2d, conv2d_input, conv2d_weight
void add_indexing(KernelTable&);      // pool_argmax, gather, scatter_add
void add_reordering(KernelTable&);    // to_lanes, from_lanes
void add_batch_norm(KernelTable&);
void add_layer_norm(KernelTable&);
void add_attention(KernelTable&);
void add_fused(KernelTable&);  // softmax_cross_entropy and its backward
void add_row_loops(KernelTable&);
const KernelTable& table();
}  // namespace PTMZ_SIMD_LEVEL

// static: each level has its own copy.
template <typename T>
static void enter(KernelTable& table, LaunchCode code, Kernel kernel) {
  (sizeof(T) == 4 ? table.f32 : table.f64)[static_cast<int>(code)] = kernel;
}

// Cuts a launch into blocks by its shape alone (never by threads, members or SIMD level).
void cut(Launch& launch, DType real);
// The same for the kernel of type `real` itself, without the detour through float64 of widen.h.
void cut_for_kernel(Launch& launch, DType real);

}  // namespace ptmz::cpu
