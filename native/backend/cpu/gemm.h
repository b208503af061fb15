// gemm: our own blocked matrix product, used for small shapes and where no BLAS was linked. Compiled with the kernels,
// once per SIMD level.
#pragma once
#include "backend/cpu/kernels/lanes.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// A matrix in memory by its strides: element (i, j) is data[i * row + j * column].
template <typename T>
struct Matrix {
  const T* data;
  int64_t row, column;
};

// Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): slices of a and b are packed into
// panels that a register tile of kTileRows x (kTileVectors vectors) walks along.
constexpr int kTileRows = kVectorRegisters == 32 ? 8 : 4;
constexpr int kTileVectors = 3;
constexpr int64_t kSliceDepth = 256, kSliceRows = 96, kSliceVectors = 48;

template <typename T>
constexpr int64_t kVector = kVectorBytes / sizeof(T);

template <typename T>
void pack_plainly(const T* data, int64_t row, int64_t depth_stride, int64_t rows, int64_t padded, int64_t depth,
                  T* panel) {
  for (int64_t r = 0; r < padded; ++r) {
    for (int64_t k = 0; k < depth; ++k) panel[k * padded + r] = r < rows ? data[r * row + k * depth_stride] : 0;
  }
}

// Up to a vector's worth of rows, each contiguous, by transposing squares of vectors.
template <typename T>
void pack_squares(const T* data, int64_t row, int64_t rows, int64_t padded, int64_t depth, T* panel) {
  using V = typename Lanes<T, kHalfVectorBytes>::Vector;
  using Unaligned = typename Lanes<T, kHalfVectorBytes>::Unaligned;
  constexpr int E = Lanes<T, kHalfVectorBytes>::count;
  for (int64_t k = 0; k < depth; k += E) {
    V square[E];
#pragma GCC unroll 8
    for (int r = 0; r < E; ++r) square[r] = r < rows ? V(*reinterpret_cast<const Unaligned*>(data + r * row + k)) : V{};
    transpose(square);
#pragma GCC unroll 8
    for (int e = 0; e < E; ++e) *reinterpret_cast<Unaligned*>(panel + (k + e) * padded) = square[e];
  }
}

// panel[k][r] for r < rows: rows of a slice side by side; missing ones are 0.
template <typename T>
void pack(const T* data, int64_t row, int64_t depth_stride, int64_t rows, int64_t padded, int64_t depth, T* panel) {
  using Unaligned = typename Lanes<T, kHalfVectorBytes>::Unaligned;
  constexpr int E = Lanes<T, kHalfVectorBytes>::count;
  if (row == 1) {
    const int64_t whole = rows / E * E;
    for (int64_t k = 0; k < depth; ++k, panel += padded) {
      const T* from = data + k * depth_stride;
      for (int64_t r = 0; r < whole; r += E)
        *reinterpret_cast<Unaligned*>(panel + r) = *reinterpret_cast<const Unaligned*>(from + r);
      for (int64_t r = whole; r < rows; ++r) panel[r] = from[r];
      for (int64_t r = rows; r < padded; ++r) panel[r] = 0;
    }
    return;
  }
  const int64_t squares = depth_stride == 1 && padded % E == 0 ? depth / E * E : 0;
  for (int64_t r = 0; r < padded && squares > 0; r += E)
    pack_squares(data + r * row, row, rows - r, padded, squares, panel + r);
  pack_plainly(data + squares * depth_stride, row, depth_stride, rows, padded, depth - squares,
               panel + squares * padded);
}

// Panels of kTileRows rows each, of a matrix whose rows are neighbours in memory: along these, so that whole cache
// lines are read.
template <typename T>
void pack_across(const T* data, int64_t depth_stride, int64_t rows, int64_t depth, T* panels) {
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t r = 0; r < rows; r += kTileRows)
      __builtin_memcpy(panels + r * depth + k * kTileRows, data + k * depth_stride + r, kTileRows * sizeof(T));
  }
}

// c[M][width] (+)= the product of two packed panels; width may be less than the Vectors that b's panel holds.
template <int M, int Vectors, typename T>
__attribute__((noinline)) void multiply_panels(const T* a, const T* b, int64_t depth, T* c, int64_t c_row, int64_t rows,
                                               int64_t width, bool add) {
  using V = typename Lanes<T, kVectorBytes>::Vector;
  using Unaligned = typename Lanes<T, kVectorBytes>::Unaligned;
  constexpr int64_t L = kVector<T>;
  V sums[M][Vectors] = {};
  for (int64_t k = 0; k < depth; ++k, a += M, b += Vectors * L) {
    V x[Vectors];
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) x[j] = *reinterpret_cast<const Unaligned*>(b + j * L);
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
#pragma GCC unroll 3
      for (int j = 0; j < Vectors; ++j) sums[i][j] += x[j] * a[i];
    }
  }
  if (width == Vectors * L && rows == M) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
#pragma GCC unroll 3
      for (int j = 0; j < Vectors; ++j) {
        Unaligned* out = reinterpret_cast<Unaligned*>(c + i * c_row + j * L);
        *out = add ? *out + sums[i][j] : sums[i][j];
      }
    }
    return;
  }
  T tile[M][Vectors * L];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) *reinterpret_cast<Unaligned*>(tile[i] + j * L) = sums[i][j];
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < width; ++j) c[i * c_row + j] = add ? c[i * c_row + j] + tile[i][j] : tile[i][j];
  }
}

template <int M, typename T>
void multiply_rows(int vectors, const T* a, const T* b, int64_t depth, T* c, int64_t c_row, int64_t rows, int64_t width,
                   bool add) {
  if (vectors == 3) multiply_panels<M, 3>(a, b, depth, c, c_row, rows, width, add);
  if (vectors == 2) multiply_panels<M, 2>(a, b, depth, c, c_row, rows, width, add);
  if (vectors == 1) multiply_panels<M, 1>(a, b, depth, c, c_row, rows, width, add);
}

// Rows of the register tile for what is left of a slice.
static inline int64_t tile_rows(int64_t left) {
  if (left > kTileRows / 2) return kTileRows;
  return left > 2 ? 4 : left > 1 ? 2 : 1;
}

// Columns of the next panel of b: three vectors, but two of the last four, because a tile of one vector cannot keep the
// processor busy.
template <typename T>
int64_t panel_columns(int64_t left) {
  const int64_t vectors = ceil_divide(left, kVector<T>);
  return smaller(left, (vectors == kTileVectors + 1 ? 2 : kTileVectors) * kVector<T>);
}

template <typename T>
void multiply_slices(const T* a, const T* b, int64_t rows, int64_t columns, int64_t depth, T* c, int64_t c_row,
                     bool add) {
  for (int64_t j = 0, width; j < columns; j += width) {
    width = panel_columns<T>(columns - j);
    const int vectors = static_cast<int>(ceil_divide(width, kVector<T>));
    const T* panel = a;
    for (int64_t i = 0; i < rows;) {
      const int64_t padded = tile_rows(rows - i), count = smaller(padded, rows - i);
      T* out = c + i * c_row + j;
      if (padded == 8) multiply_rows<8>(vectors, panel, b, depth, out, c_row, count, width, add);
      if (padded == 4) multiply_rows<4>(vectors, panel, b, depth, out, c_row, count, width, add);
      if (padded == 2) multiply_rows<2>(vectors, panel, b, depth, out, c_row, count, width, add);
      if (padded == 1) multiply_rows<1>(vectors, panel, b, depth, out, c_row, count, width, add);
      panel += padded * depth;
      i += count;
    }
    b += vectors * kVector<T> * depth;
  }
}

// c (m,n) = a (m,k) b (k,n), or c += with `add`; without it c is not read. c's columns are neighbours in memory.
// done(i, rows, j, columns) is called when that part of c is finished. scratch: kGemmScratch bytes.
template <typename T, typename F>
void gemm(int64_t m, int64_t n, int64_t k, const Matrix<T>& a, const Matrix<T>& b, T* c, int64_t c_row, bool add,
          void* scratch, const F& done) {
  constexpr int64_t slice_columns = kSliceVectors * kVector<T>;
  T* a_panels = static_cast<T*>(scratch);
  T* b_panels = a_panels + kSliceRows * kSliceDepth;
  for (int64_t p = 0; p < k; p += kSliceDepth) {
    const int64_t depth = smaller(kSliceDepth, k - p);
    for (int64_t j = 0; j < n; j += slice_columns) {
      const int64_t columns = smaller(slice_columns, n - j);
      T* panel = b_panels;
      for (int64_t q = 0, width; q < columns; q += width) {
        width = panel_columns<T>(columns - q);
        const int64_t padded = round_up(width, kVector<T>);
        pack(b.data + p * b.row + (j + q) * b.column, b.column, b.row, width, padded, depth, panel);
        panel += padded * depth;
      }
      for (int64_t i = 0; i < m; i += kSliceRows) {
        const int64_t rows = smaller(kSliceRows, m - i);
        panel = a_panels;
        int64_t q = 0;
        if (a.row == 1) {
          q = rows / kTileRows * kTileRows;
          pack_across(a.data + i + p * a.column, a.column, q, depth, panel);
          panel += q * depth;
        }
        while (q < rows) {
          const int64_t padded = tile_rows(rows - q), count = smaller(padded, rows - q);
          pack(a.data + (i + q) * a.row + p * a.column, a.row, a.column, count, padded, depth, panel);
          panel += padded * depth;
          q += count;
        }
        multiply_slices(a_panels, b_panels, rows, columns, depth, c + i * c_row + j, c_row, add || p > 0);
        if (p + depth == k) done(i, rows, j, columns);
      }
    }
  }
}

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
