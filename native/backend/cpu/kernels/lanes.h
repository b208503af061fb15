// Lanes: vectors that hold one value of several images, and the transposes between them and planes in memory.
// With the images in the lanes a convolution does not care how few channels or how small maps there are.
#pragma once
#include "backend/cpu/contraction_plan.h"
#include "backend/cpu/kernel.h"
#include "backend/cpu/kernels/width.h"

#define PTMZ_INLINE inline __attribute__((always_inline))

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr int kMostChannels = kChannelsAvx512, kMostOutputs = kOutputsAvx512, kMostInputs = kInputsAvx512;
#elif defined(__AVX2__)
constexpr int kMostChannels = kChannelsAvx2, kMostOutputs = kOutputsAvx2, kMostInputs = kInputsAvx2;
#else
constexpr int kMostChannels = kChannelsPortable, kMostOutputs = kOutputsPortable, kMostInputs = kInputsPortable;
#endif

template <typename T, int Bytes>
struct Lanes {
  typedef T Vector __attribute__((vector_size(Bytes)));
  typedef T Unaligned __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias));
  static constexpr int count = Bytes / sizeof(T);
};

template <int... E>
struct Indices {};
template <int N, int... E>
struct IndicesTo : IndicesTo<N - 1, N - 1, E...> {};
template <int... E>
struct IndicesTo<0, E...> {
  using type = Indices<E...>;
};

// Swaps the upper halves (of every 2 * Half elements) of a with the lower ones of b.
template <int Half, typename V, int... E>
PTMZ_INLINE void exchange(V& a, V& b, Indices<E...>) {
  constexpr int count = sizeof...(E);
  const V low = __builtin_shufflevector(a, b, ((E & Half) ? count + E - Half : E)...);
  b = __builtin_shufflevector(a, b, ((E & Half) ? count + E : E + Half)...);
  a = low;
}

// Transposes a square of vectors: exchanges the halves, then the quarters within each, and so on.
template <int Half, typename V, int Count>
PTMZ_INLINE void transpose_steps(V (&rows)[Count]) {
  if constexpr (Half > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < Count; ++i) {
      if (!(i & Half)) exchange<Half>(rows[i], rows[i + Half], typename IndicesTo<Count>::type{});
    }
    transpose_steps<Half / 2>(rows);
  }
}
template <typename V, int Count>
PTMZ_INLINE void transpose(V (&rows)[Count]) {
  transpose_steps<Count / 2>(rows);
}

// Some rows of the planes of one group in a dense tensor (N, all channels, plane), seen from its first image.
template <typename T>
struct Planes {
  T* data;
  int64_t image;         // elements from one image to the next
  int64_t plane;         // elements of one plane
  int64_t channels;      // to be copied
  int64_t begin, count;  // the rows, as elements of each plane
};

// Copies up to one vector of images into lanes: out[c * out_plane + position[q]] = element q of channel c, lane by
// lane; lanes without an image get 0. Whole planes are read as one run across channels.
template <typename T, int Bytes>
void load_lanes(typename Lanes<T, Bytes>::Vector* out, int64_t out_plane, const Planes<const T>& in, int64_t live,
                const int32_t* position) {
  using V = typename Lanes<T, Bytes>::Vector;
  using Unaligned = typename Lanes<T, Bytes>::Unaligned;
  constexpr int L = Lanes<T, Bytes>::count;
  if (in.count == 0) return;
  const bool whole = in.count == in.plane;
  const int64_t runs = whole ? 1 : in.channels, length = whole ? in.channels * in.count : in.count;
  for (int64_t run = 0; run < runs; ++run) {
    const T* source = in.data + run * in.plane + in.begin;
    V* target = out + run * out_plane;
    int64_t q = 0;  // position within the channel
    for (int64_t i = 0; i < length; i += L) {
      V rows[L];
      if (i + L <= length) {
#pragma GCC unroll 16
        for (int l = 0; l < L; ++l) {
          rows[l] = l < live ? V(*reinterpret_cast<const Unaligned*>(source + l * in.image + i)) : V{};
        }
        transpose(rows);
#pragma GCC unroll 16
        for (int e = 0; e < L; ++e) {
          target[position[q]] = rows[e];
          if (++q == in.count) {
            q = 0;
            target += out_plane;
          }
        }
        continue;
      }
      for (int64_t e = 0; e < length - i; ++e) {
        V value = {};
        for (int64_t l = 0; l < live; ++l) value[l] = source[l * in.image + i + e];
        target[position[q]] = value;
        if (++q == in.count) {
          q = 0;
          target += out_plane;
        }
      }
    }
  }
}

// The way back: element q of channel c is in[c * count + q]. May read (but not use) a vector's worth past the end.
template <typename T, int Bytes>
void store_lanes(const typename Lanes<T, Bytes>::Vector* in, const Planes<T>& out, int64_t live) {
  using V = typename Lanes<T, Bytes>::Vector;
  using Unaligned = typename Lanes<T, Bytes>::Unaligned;
  constexpr int L = Lanes<T, Bytes>::count;
  const bool whole = out.count == out.plane;
  const int64_t runs = whole ? 1 : out.channels, length = whole ? out.channels * out.count : out.count;
  for (int64_t run = 0; run < runs; ++run) {
    T* target = out.data + run * out.plane + out.begin;
    const V* source = in + run * out.count;
    for (int64_t i = 0; i < length; i += L) {
      V rows[L];
#pragma GCC unroll 16
      for (int e = 0; e < L; ++e) rows[e] = source[i + e];
      transpose(rows);
      if (i + L <= length) {
#pragma GCC unroll 16
        for (int l = 0; l < L; ++l) {
          if (l < live) *reinterpret_cast<Unaligned*>(target + l * out.image + i) = rows[l];
        }
        continue;
      }
      for (int64_t l = 0; l < live; ++l) {
        for (int64_t e = 0; e < length - i; ++e) target[l * out.image + i + e] = rows[l][e];
      }
    }
  }
}

// Vectors with 0 in the lanes that have no image, of pixels with `lanes` lanes of which `live` have one.
template <typename T>
struct LiveLanes {
  T mask[16];  // of one pixel, or of two
  LiveLanes(int64_t lanes, int64_t live) {
    for (int64_t i = 0; i < 16; ++i) mask[i] = lanes == 0 || i % lanes < live ? T(1) : T(0);
  }
  // `at`: the place of the vector's first element behind that of a pixel.
  template <typename V>
  PTMZ_INLINE V keep(const V& v, int64_t at) const {
    using Unaligned = typename Lanes<T, sizeof(V)>::Unaligned;
    const V live = *reinterpret_cast<const Unaligned*>(mask + at % 16);
    return live != 0 ? v : V{};
  }
  PTMZ_INLINE T keep(T v, int64_t at) const { return mask[at % 16] != 0 ? v : T(0); }
};

static inline void zero(void* data, int64_t bytes) { __builtin_memset(data, 0, bytes); }

constexpr int64_t kFirst = 1, kLast = 2;  // pixels of a row of which a tap may lie outside

// Whether to read planes where they lie rather than copy them. With many large planes a copy pays: they are often a
// power of two apart, and then evict each other from a cache, which the copies do not.
static inline bool reads_planes(int64_t channels, int64_t plane_bytes) {
  return channels <= kFewPlanes || channels * plane_bytes <= 128 * 1024;
}

// Copies the window of one plane (rows, columns, lanes), zeros where it reaches outside.
template <typename T>
void copy_window(T* out, const T* plane, const Window& window, int64_t rows, int64_t columns, int64_t lanes) {
  const int64_t left = smaller(window.columns, larger(0, -window.column));
  const int64_t first = larger(0, window.column);  // the first column copied
  const int64_t count = larger(0, smaller(window.columns - left, columns - first));
  const int64_t pixel = lanes * static_cast<int64_t>(sizeof(T));
  for (int64_t r = 0; r < window.rows; ++r, out += window.columns * lanes) {
    const int64_t row = window.row + r;
    if (row < 0 || row >= rows) {
      zero(out, window.columns * pixel);
      continue;
    }
    zero(out, left * pixel);
    __builtin_memcpy(out + left * lanes, plane + (row * columns + first) * lanes, count * pixel);
    zero(out + (left + count) * lanes, (window.columns - left - count) * pixel);
  }
}

// The rows of a plane that lie in the window, and where each of their elements has its place there.
struct Covered {
  int64_t begin, count;  // elements of the plane
  bool border;           // the window has positions outside the plane, which must be 0
};
static inline Covered cover(const Window& window, int64_t rows, int64_t columns, int32_t* position) {
  const int64_t first = larger(window.row, 0), last = larger(first, smaller(window.row + window.rows, rows));
  for (int64_t r = first; r < last; ++r) {
    const int64_t start = (r - window.row) * window.columns - window.column;
    for (int64_t c = 0; c < columns; ++c) *position++ = static_cast<int32_t>(start + c);
  }
  const int64_t count = (last - first) * columns;
  return {first * columns, count, count != window.rows * window.columns};
}

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
