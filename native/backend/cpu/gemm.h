// gemm: our own blocked matrix product, used for small shapes and where no BLAS was linked. Compiled with the kernels,
// once per SIMD level.
#pragma once
#include <type_traits>

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
constexpr int64_t kSliceDepth = 384, kSliceRows = 96, kSliceVectors = 32;
static_assert(kGemmScratch >= kSliceDepth * (kSliceRows * 8 + kSliceVectors * kCacheLine));
// Packing costs about as much as two panels of b do. What few panels read is read where it lies: a, a small b, and of
// both, where c has few rows as well, as many bytes at a time as stay in the first-level cache.
constexpr int64_t kFewPanels = 2, kFewRows = 64, kSmallB = 8192, kInPlaceBytes = 32 * 1024;

template <typename T>
constexpr int64_t kVector = kVectorBytes / sizeof(T);

template <typename T>
constexpr int64_t kSliceColumns = kSliceVectors* kVector<T>;

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

// Rows of a as a register tile reads them: element (i, k) is data[i + k * step], a packed panel or a transposed matrix
// in its place; or data[i * step + k], a matrix in its place.
enum class Walk { across, along };
template <typename T>
struct Strip {
  const T* data;
  int64_t step;
};

template <Walk W>
struct Way {
  static constexpr Walk walk = W;
};
template <typename T>
struct PanelOfB {
  const T* data;
  int64_t row;  // from one of its rows to the next
};
// The part of c that a tile computes; it may have fewer rows and columns than the registers hold. Where it adds to c,
// the first `done` columns are another tile's and stay as they are.
template <typename T>
struct Tile {
  T* c;
  int64_t row, rows, width, done;
  bool add;
};

// 0 for the first `done` columns of each row, which are fewer than a vector has.
template <int M, int Vectors, typename V, int... E>
PTMZ_INLINE void drop_columns(V (&sums)[M][Vectors], int64_t done, Indices<E...>) {
  using Integer = std::conditional_t<sizeof(V) / sizeof...(E) == 4, int32_t, int64_t>;
  typedef Integer Columns __attribute__((vector_size(sizeof(V))));
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) sums[i][0] = Columns{E...} < static_cast<Integer>(done) ? V{} : sums[i][0];
}

// A tile (+)= a strip of a times a panel of b.
template <int M, int Vectors, Walk W, typename T>
__attribute__((noinline)) void multiply_panels(const Strip<T>& strip, const PanelOfB<T>& panel, int64_t depth,
                                               const Tile<T>& tile) {
  using V = typename Lanes<T, kVectorBytes>::Vector;
  using Unaligned = typename Lanes<T, kVectorBytes>::Unaligned;
  constexpr int64_t L = kVector<T>;
  V sums[M][Vectors] = {};
  const T *a = strip.data, *b = panel.data;
  const int64_t a_step = strip.step, b_step = panel.row;
  for (int64_t k = 0; k < depth; ++k, a += W == Walk::along ? 1 : a_step, b += b_step) {
    V x[Vectors];
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) x[j] = *reinterpret_cast<const Unaligned*>(b + j * L);
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
#pragma GCC unroll 3
      for (int j = 0; j < Vectors; ++j) sums[i][j] += x[j] * a[W == Walk::along ? i * a_step : i];
    }
  }
  const bool add = tile.add;
  if (tile.done > 0) drop_columns(sums, tile.done, typename IndicesTo<static_cast<int>(L)>::type{});
  if (tile.width == Vectors * L && tile.rows == M) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
#pragma GCC unroll 3
      for (int j = 0; j < Vectors; ++j) {
        Unaligned* out = reinterpret_cast<Unaligned*>(tile.c + i * tile.row + j * L);
        *out = add ? *out + sums[i][j] : sums[i][j];
      }
    }
    return;
  }
  T whole[M][Vectors * L];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) *reinterpret_cast<Unaligned*>(whole[i] + j * L) = sums[i][j];
  }
  for (int64_t i = 0; i < tile.rows; ++i) {
    T* out = tile.c + i * tile.row;
    for (int64_t j = 0; j < tile.width; ++j) out[j] = add ? out[j] + whole[i][j] : whole[i][j];
  }
}

template <int M, Walk W, typename T>
void multiply_rows(int vectors, const Strip<T>& a, const PanelOfB<T>& b, int64_t depth, const Tile<T>& tile) {
  if (vectors == 3) multiply_panels<M, 3, W>(a, b, depth, tile);
  if (vectors == 2) multiply_panels<M, 2, W>(a, b, depth, tile);
  if (vectors == 1) multiply_panels<M, 1, W>(a, b, depth, tile);
}

// Rows of the register tile for what is left of a slice. Only a packed one may have fewer.
static inline int64_t tile_rows(int64_t left, bool packed) {
  if (left >= kTileRows || (packed && left > kTileRows / 2)) return kTileRows;
  return left >= 4 || (packed && left > 2) ? 4 : left > 1 ? 2 : 1;
}

// Columns of the next panel of b: three vectors, but two of the last four, because a tile of one vector cannot keep the
// processor busy.
template <typename T>
int64_t panel_columns(int64_t left) {
  const int64_t vectors = ceil_divide(left, kVector<T>);
  return smaller(left, (vectors == kTileVectors + 1 ? 2 : kTileVectors) * kVector<T>);
}

// Panels of the rows of a slice of a, one after another.
template <typename T>
void pack_rows(const Matrix<T>& a, int64_t rows, int64_t depth, T* panel) {
  int64_t i = 0;
  if (a.row == 1) {
    i = rows / kTileRows * kTileRows;
    pack_across(a.data, a.column, i, depth, panel);
    panel += i * depth;
  }
  while (i < rows) {
    const int64_t padded = tile_rows(rows - i, true), count = smaller(padded, rows - i);
    pack(a.data + i * a.row, a.row, a.column, count, padded, depth, panel);
    panel += padded * depth;
    i += count;
  }
}

// Where a panel begins: before its own columns if that fills its last vector, so that some of its neighbour's are
// computed again.
static inline int64_t panel_start(int64_t j, int64_t width, int64_t padded) {
  return j + width >= padded ? j + width - padded : j;
}

// A slice of a: packed, or where it lies.
template <typename T>
struct SliceOfA {
  Matrix<T> matrix;
  bool packed;

  // f(rows of the tile, strip) for the tile of rows from `i` on, the panel being `depth` long.
  template <typename F>
  void strip(int64_t i, int64_t height, int64_t depth, const F& multiply) const {
    using Across = Way<Walk::across>;
    if (packed) return multiply(Across{}, Strip<T>{matrix.data + i * depth, height});
    if (matrix.row == 1) return multiply(Across{}, Strip<T>{matrix.data + i, matrix.column});
    multiply(Way<Walk::along>{}, Strip<T>{matrix.data + i * matrix.row, matrix.row});
  }
};

// b: packed panels, or with b_row > 0 rows so far apart.
template <typename T>
void multiply_slices(const SliceOfA<T>& a, const T* b, int64_t b_row, int64_t rows, int64_t columns, int64_t depth,
                     T* c, int64_t c_row, bool add) {
  for (int64_t j = 0, width; j < columns; j += width) {
    width = panel_columns<T>(columns - j);
    const int vectors = static_cast<int>(ceil_divide(width, kVector<T>));
    const int64_t padded = vectors * kVector<T>, start = panel_start(j, width, padded);
    const PanelOfB<T> panel = b_row > 0 ? PanelOfB<T>{b + start, b_row} : PanelOfB<T>{b, padded};
    for (int64_t i = 0, height; i < rows; i += height) {
      height = tile_rows(rows - i, a.packed);
      const Tile<T> tile = {c + i * c_row + start, c_row, smaller(height, rows - i), j + width - start,
                            add ? j - start : 0,   add};
      a.strip(i, height, depth, [&](auto way, const Strip<T>& strip) {
        constexpr Walk walk = decltype(way)::walk;
        if (height == 8) multiply_rows<8, walk>(vectors, strip, panel, depth, tile);
        if (height == 4) multiply_rows<4, walk>(vectors, strip, panel, depth, tile);
        if (height == 2) multiply_rows<2, walk>(vectors, strip, panel, depth, tile);
        if (height == 1) multiply_rows<1, walk>(vectors, strip, panel, depth, tile);
      });
    }
    if (b_row == 0) b += padded * depth;
  }
}

// c (m,n) = a (m,k) b (k,n), or c += with `add`; without it c is not read. c's columns are neighbours in memory.
// done(i, rows, j, columns) is called when that part of c is finished: whole rows where n <= kSliceColumns<T>.
// scratch: kGemmScratch bytes.
template <typename T, typename F>
void gemm(int64_t m, int64_t n, int64_t k, const Matrix<T>& a, const Matrix<T>& b, T* c, int64_t c_row, bool add,
          void* scratch, const F& done) {
  // A transposed a is read along its rows, so these must be short.
  const bool a_in_place =
      n <= kFewPanels * kTileVectors * kVector<T> && (a.column == 1 || (a.row == 1 && m <= kSliceRows));
  const bool b_contiguous = b.column == 1 && n >= kTileVectors * kVector<T>;
  // Both where they lie: no more of them at a time than the first-level cache holds, if c is as small.
  const bool both = a_in_place && b_contiguous && m <= kFewRows;
  const int64_t fit = both ? kInPlaceBytes / ((m + n) * static_cast<int64_t>(sizeof(T))) : kSliceDepth;
  const int64_t slice_depth = smaller(kSliceDepth, ceil_divide(k, larger(1, ceil_divide(k, fit))));
  T* a_panels = static_cast<T*>(scratch);
  T* b_panels = a_panels + kSliceRows * kSliceDepth;
  for (int64_t p = 0; p < k; p += slice_depth) {
    const int64_t depth = smaller(slice_depth, k - p);
    const bool adds = add || p > 0;
    for (int64_t j = 0; j < n; j += kSliceColumns<T>) {
      const int64_t columns = smaller(kSliceColumns<T>, n - j);
      T* panel = b_panels;
      const bool b_in_place =
          both || (b_contiguous && columns >= kTileVectors * kVector<T> && columns * depth <= kSmallB);
      for (int64_t q = 0, width; q < columns && !b_in_place; q += width) {
        width = panel_columns<T>(columns - q);
        const int64_t padded = round_up(width, kVector<T>), start = panel_start(q, width, padded);
        pack(b.data + p * b.row + (j + start) * b.column, b.column, b.row, q + width - start, padded, depth, panel);
        panel += padded * depth;
      }
      for (int64_t i = 0; i < m; i += kSliceRows) {
        const int64_t rows = smaller(kSliceRows, m - i);
        const T* from = a.data + i * a.row + p * a.column;
        if (!a_in_place) pack_rows(Matrix<T>{from, a.row, a.column}, rows, depth, a_panels);
        const SliceOfA<T> slice = {{a_in_place ? from : a_panels, a.row, a.column}, !a_in_place};
        multiply_slices(slice, b_in_place ? b.data + p * b.row + j : b_panels, b_in_place ? b.row : 0, rows, columns,
                        depth, c + i * c_row + j, c_row, adds);
        if (p + depth == k) done(i, rows, j, columns);
      }
    }
  }
}

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
