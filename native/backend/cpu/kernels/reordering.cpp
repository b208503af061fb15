// Reordering: to_lanes and from_lanes, transposes between images one after the other and images in the SIMD lanes.
#include "backend/cpu/kernels/lanes.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

// One set of `lanes` images: elements [begin, end) of each. plain[l * image + k] <-> set[k * lanes + l]. Lanes from
// `live` on repeat the last image, and are not written back.
template <typename T>
struct Panel {
  const T* from;
  T* to;
  int64_t lanes, live, image, begin, end;
  int64_t plain(int64_t lane) const { return smaller(lane, live - 1) * image; }
};

// One square of vectors: lanes from l on, elements from k on.
template <typename T, int Bytes>
void transpose_panel(const Panel<T>& p, int64_t l, int64_t k, bool into_lanes) {
  using V = typename Lanes<T, Bytes>::Vector;
  using Unaligned = typename Lanes<T, Bytes>::Unaligned;
  constexpr int E = Lanes<T, Bytes>::count;
  const int64_t set = k * p.lanes + l;
  V rows[E];
#pragma GCC unroll 16
  for (int i = 0; i < E; ++i) {
    const T* from = p.from + (into_lanes ? p.plain(l + i) + k : set + i * p.lanes);
    rows[i] = *reinterpret_cast<const Unaligned*>(from);
  }
  transpose(rows);
#pragma GCC unroll 16
  for (int i = 0; i < E; ++i) {
    T* to = p.to + (into_lanes ? set + i * p.lanes : p.plain(l + i) + k);
    if (into_lanes || l + i < p.live) *reinterpret_cast<Unaligned*>(to) = rows[i];
  }
}

template <typename T, int Bytes>
void reorder(const Panel<T>& p, bool into_lanes) {
  constexpr int E = Lanes<T, Bytes>::count;
  int64_t k = p.begin;
  for (; k + E <= p.end; k += E) {
    for (int64_t l = 0; l < p.lanes; l += E) transpose_panel<T, Bytes>(p, l, k, into_lanes);
  }
  for (; k < p.end; ++k) {
    for (int64_t l = 0; l < (into_lanes ? p.lanes : p.live); ++l) {
      const int64_t plain = p.plain(l) + k, set = k * p.lanes + l;
      into_lanes ? p.to[set] = p.from[plain] : p.to[plain] = p.from[set];
    }
  }
}

template <typename T>
void reorder_launch(const Call& call) {
  const int64_t lanes = call.launch.ints[kLanesInt], image = call.launch.shape[1];
  const int64_t size = reorder_block(lanes), pieces = ceil_divide(image, size);
  const bool into_lanes = call.launch.code == LaunchCode::to_lanes;
  for (int64_t i = call.begin; i < call.end; ++i) {
    const int64_t first = i / pieces * lanes, set = first * image, begin = i % pieces * size;
    const Panel<T> panel = {static_cast<const T*>(call.pointers[1]) + set,
                            static_cast<T*>(call.pointers[0]) + set,
                            lanes,
                            smaller(lanes, call.launch.shape[0] - first),
                            image,
                            begin,
                            smaller(begin + size, image)};
    lanes % Lanes<T, kVectorBytes>::count == 0 ? reorder<T, kVectorBytes>(panel, into_lanes)
                                               : reorder<T, kHalfVectorBytes>(panel, into_lanes);
  }
}

template <typename T>
void enter_both(KernelTable& table) {
  enter<T>(table, LaunchCode::to_lanes, reorder_launch<T>);
  enter<T>(table, LaunchCode::from_lanes, reorder_launch<T>);
}

}  // namespace

void add_reordering(KernelTable& table) {
  enter_both<float>(table);
  enter_both<double>(table);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
