// Elementwise kernels: map, copy_index, iota and random, over blocks of the output's elements.
#include "backend/cpu/kernels/evaluate.h"
#include "backend/shared/philox.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

struct Range {
  int64_t begin, end;
};

Range element_range(const Call& call) {
  const int64_t count = product(call.launch.shape, 0, call.launch.rank);
  return {smaller(call.begin * kMapBlock, count), smaller(call.end * kMapBlock, count)};
}

template <typename T>
void map(const Call& call) {
  const Range range = element_range(call);
  T* base = static_cast<T*>(call.pointers[0]);
  View out = make_view(call.launch, call.launch.operands[0]);
  Evaluator<T> evaluator(call, 0, range.end - range.begin);
  out.seek(range.begin);
  evaluator.seek(range.begin);
  for (int64_t i = range.begin; i < range.end; i += kBlock) {
    const int64_t n = smaller(kBlock, range.end - i);
    T* direct = direct_block(out, base, n);
    const T* result = evaluator.next(n, direct);
    if (!direct) {
      store_block(out, base, result, n);
    } else if (result != direct) {
      memcpy(direct, result, n * sizeof(T));
    }
  }
}

void copy_index(const Call& call) {
  const Range range = element_range(call);
  int32_t* base = static_cast<int32_t*>(call.pointers[0]);
  const int32_t* x_base = static_cast<const int32_t*>(call.pointers[1]);
  View out = make_view(call.launch, call.launch.operands[0]), x = make_view(call.launch, call.launch.operands[1]);
  out.seek(range.begin);
  x.seek(range.begin);
  int32_t block[kRegister];
  for (int64_t i = range.begin; i < range.end; i += kBlock) {
    const int64_t n = smaller(kBlock, range.end - i);
    load_block(x, x_base, block, n, kRegister);
    store_block(out, base, block, n);
  }
}

template <typename T>
void iota(const Call& call) {
  const Launch& launch = call.launch;
  const Range range = element_range(call);
  const int axis = static_cast<int>(launch.ints[0]);
  const int64_t size = launch.shape[axis], inner = product(launch.shape, axis + 1, launch.rank);
  View out = make_view(launch, launch.operands[0]);
  out.seek(range.begin);
  int64_t position = range.begin / inner % size, repeat = range.begin % inner;
  T block[kBlock];
  for (int64_t i = range.begin; i < range.end; i += kBlock) {
    const int64_t n = smaller(kBlock, range.end - i);
    for (int64_t j = 0; j < n; ++j) {
      block[j] = static_cast<T>(position);
      if (++repeat < inner) continue;
      repeat = 0;
      position = position + 1 < size ? position + 1 : 0;
    }
    store_block(out, static_cast<T*>(call.pointers[0]), block, n);
  }
}

// The same bits as philox() for 16 counters in a row, one lane each: words[w][l] is word w of block first + l.
constexpr int kPhiloxLanes = 16;
void philox_lanes(const RandomKey& key, uint64_t first, uint32_t words[4][kPhiloxLanes]) {
  uint32_t *c0 = words[0], *c1 = words[1], *c2 = words[2], *c3 = words[3];
  for (int l = 0; l < kPhiloxLanes; ++l) {
    c0[l] = static_cast<uint32_t>(first + l);
    c1[l] = static_cast<uint32_t>((first + l) >> 32);
    c2[l] = key.epoch;
    c3[l] = key.step;
  }
  uint32_t k0 = key.seed_low ^ (key.stream * 0x9E3779B1u),
           k1 = key.seed_high ^ (key.purpose * 0x85EBCA77u + key.stream);
  for (int round = 0; round < 10; ++round) {
    PTMZ_VECTORISE
    for (int l = 0; l < kPhiloxLanes; ++l) {
      const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0[l], p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2[l];
      c0[l] = static_cast<uint32_t>(p1 >> 32) ^ c1[l] ^ k0;
      c2[l] = static_cast<uint32_t>(p0 >> 32) ^ c3[l] ^ k1;
      c1[l] = static_cast<uint32_t>(p1);
      c3[l] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// out[4 l + w] = the number of word w of lane l; equal to random_*() of its index.
template <typename T>
void draw(Distribution distribution, const uint32_t words[4][kPhiloxLanes], T* out) {
  if (distribution == Distribution::uniform) {  // unit() is exact in float too
    for (int w = 0; w < 4; ++w)
      for (int l = 0; l < kPhiloxLanes; ++l)
        out[4 * l + w] = static_cast<T>(static_cast<int32_t>(words[w][l] >> 8)) * static_cast<T>(1.0 / 16777216.0);
  } else if (distribution == Distribution::rademacher) {
    for (int w = 0; w < 4; ++w)
      for (int l = 0; l < kPhiloxLanes; ++l)
        out[4 * l + w] = static_cast<T>(2 * static_cast<int32_t>(words[w][l] >> 31) - 1);
  } else {
    for (int w = 0; w < 4; w += 2)
      for (int l = 0; l < kPhiloxLanes; ++l) {
        const double radius = ::sqrt(-2.0 * ::log(1.0 - unit(words[w][l])));
        const double angle = 6.283185307179586 * unit(words[w + 1][l]);
        out[4 * l + w] = static_cast<T>(radius * ::cos(angle));
        out[4 * l + w + 1] = static_cast<T>(radius * ::sin(angle));
      }
  }
}

template <typename T>
void random(const Call& call) {
  const Launch& launch = call.launch;
  const Range range = element_range(call);
  const int32_t* seed = static_cast<const int32_t*>(call.pointers[1]);
  const int64_t step = launch.operands[1].strides[0];
  const auto word = [&](int i) { return static_cast<uint32_t>(seed[i * step]); };
  const RandomKey key{word(0), word(1), static_cast<uint32_t>(Purpose::graph), static_cast<uint32_t>(launch.ints[1]),
                      word(2), word(3)};
  const Distribution distribution = static_cast<Distribution>(launch.ints[0]);
  T* out = static_cast<T*>(call.pointers[0]);
  uint32_t words[4][kPhiloxLanes];
  T block[4 * kPhiloxLanes];
  for (int64_t i = range.begin; i < range.end; i += 4 * kPhiloxLanes) {  // kMapBlock is a multiple of it
    const int64_t n = smaller(4 * kPhiloxLanes, range.end - i);
    philox_lanes(key, static_cast<uint64_t>(i) / 4, words);
    draw(distribution, words, block);
    memcpy(out + i, block, n * sizeof(T));
  }
}

template <typename T>
void enter_all(KernelTable& table) {
  enter<T>(table, LaunchCode::map, map<T>);
  enter<T>(table, LaunchCode::copy_index, copy_index);
  enter<T>(table, LaunchCode::iota, iota<T>);
  enter<T>(table, LaunchCode::random, random<T>);
}

}  // namespace

void add_elementwise(KernelTable& table) {
  enter_all<float>(table);
  enter_all<double>(table);
}

}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
