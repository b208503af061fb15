// Times convolutions of one thread, images in the lanes: `ptmz_convolutions MS` prints one line of JSON per shape, with
// the least time in microseconds of the three contractions. PTMZ_SIMD chooses the level. Run by bench/tune.mjs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "backend/backend.h"

using namespace ptmz;

namespace {

struct Shape {
  int64_t images, channels, size, outputs, stride, kernel;
};

// Layers of ResNets of width 2, 8, 16 and 64 on images of 32 x 32.
constexpr Shape kShapes[] = {
    {8, 2, 32, 2, 1, 3},     {8, 8, 16, 8, 1, 3},      {128, 2, 32, 2, 1, 3},   {128, 8, 32, 8, 1, 3},
    {128, 16, 16, 16, 1, 3}, {128, 16, 32, 32, 2, 3},  {32, 64, 32, 64, 1, 3},  {32, 128, 16, 128, 1, 3},
    {32, 256, 8, 256, 1, 3}, {128, 128, 4, 128, 1, 3}, {32, 64, 16, 256, 1, 1},
};

Launch launch_of(const Shape& s, LaunchCode code) {
  const int64_t pad = s.kernel / 2, out = (s.size + 2 * pad - s.kernel) / s.stride + 1;
  Launch l = {};
  l.code = code;
  l.rank = l.kept_rank = 7;
  const int64_t shape[] = {s.images, s.channels, s.size, s.size, s.outputs, out, out};
  const int64_t ints[] = {s.stride, s.stride, pad, pad, 1, 1, 1, s.size, s.size, s.kernel, s.kernel};
  std::copy(std::begin(shape), std::end(shape), l.shape);
  std::copy(std::begin(ints), std::end(ints), l.ints);
  l.ints[kLanesInt] = s.images % 16 == 0 ? 16 : 8;
  l.operand_count = 3;
  Operand& weights = l.operands[code == LaunchCode::conv2d ? 2 : code == LaunchCode::conv2d_input ? 1 : 0];
  weights.strides[0] = s.channels * s.kernel * s.kernel;
  weights.strides[1] = s.kernel * s.kernel;
  const int64_t parts = code == LaunchCode::conv2d_weight ? cpu_backend().partial_results(l) : 1;
  if (parts > 1) l.ints[kPartsInt] = parts;
  return l;
}

// 64-byte aligned, filled with small numbers.
struct Memory {
  explicit Memory(int64_t bytes) : floats(bytes / 4 + 32) {
    for (size_t i = 0; i < floats.size(); ++i) floats[i] = static_cast<float>(i % 17) * 0.1f;
  }
  void* data() { return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(floats.data()) + 63) / 64 * 64); }
  std::vector<float> floats;
};

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double microseconds(const Shape& s, LaunchCode code, double time) {
  Launch l = launch_of(s, code);
  cpu_backend().prepare(l, DType::f32);
  const int64_t out = l.shape[5], w = s.outputs * s.channels * s.kernel * s.kernel;
  Memory x(4 * s.images * s.channels * s.size * s.size), y(4 * s.images * s.outputs * out * out),
      weights(4 * w * std::max<int64_t>(1, l.ints[kPartsInt])), scratch(l.scratch_bytes);
  void* const forward[] = {y.data(), x.data(), weights.data()};
  void* const input[] = {x.data(), weights.data(), y.data()};
  void* const weight[] = {weights.data(), x.data(), y.data()};
  void* const* pointers = code == LaunchCode::conv2d ? forward : code == LaunchCode::conv2d_input ? input : weight;
  KernelFault fault;
  double best = 1e30;
  for (const double end = seconds() + time; seconds() < end;) {
    const double start = seconds();
    cpu_backend().run(l, nullptr, DType::f32, pointers, 0, l.blocks, scratch.data(), fault);
    best = std::min(best, seconds() - start);
  }
  return best * 1e6;
}

}  // namespace

int main(int count, char** arguments) {
  const double time = (count > 1 ? std::atof(arguments[1]) : 50) / 1e3;
  for (const Shape& s : kShapes) {
    std::printf("{\"shape\":\"%ldx%ldx%ld to %ld, stride %ld, kernel %ld\"", static_cast<long>(s.images),
                static_cast<long>(s.channels), static_cast<long>(s.size), static_cast<long>(s.outputs),
                static_cast<long>(s.stride), static_cast<long>(s.kernel));
    for (LaunchCode code : {LaunchCode::conv2d, LaunchCode::conv2d_input, LaunchCode::conv2d_weight})
      std::printf(",\"%s\":%.3f", name(code), microseconds(s, code, time));
    std::printf("}\n");
  }
}
