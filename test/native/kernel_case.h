// KernelCase: builds one Launch by hand over random strided operands and runs it on the kernels of every SIMD level.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "backend/cpu/block_sizes.h"
#include "check.h"
#include "ir/graph.h"
#include "levels.h"

namespace ptmz::test {

using Strides = std::vector<int64_t>;

// The kernels of each level.
inline const std::vector<cpu::KernelTable>& tables() {
  static const std::vector<cpu::KernelTable> all = [] {
    std::vector<cpu::KernelTable> all;
    for (const std::string& name : levels()) all.push_back(kernels_of(name));
    return all;
  }();
  return all;
}

inline std::mt19937_64& generator() {
  static std::mt19937_64 engine(20240607);
  return engine;
}
inline int64_t pick(int64_t low, int64_t high) { return low + static_cast<int64_t>(generator()() % (high - low + 1)); }
inline double draw(double low, double high) { return std::uniform_real_distribution<double>(low, high)(generator()); }

inline Strides dense(const Shape& shape) {
  Strides strides(shape.size(), 1);
  for (int d = static_cast<int>(shape.size()) - 2; d >= 0; --d) strides[d] = strides[d + 1] * shape[d + 1];
  return strides;
}
// Row-major, broadcast, permuted or with gaps.
inline Strides random_strides(const Shape& shape, bool broadcast = true) {
  if (pick(0, 3) == 0) return dense(shape);
  std::vector<int> order(shape.size());
  for (size_t d = 0; d < order.size(); ++d) order[d] = static_cast<int>(d);
  if (pick(0, 1)) std::shuffle(order.begin(), order.end(), generator());
  Strides strides(shape.size());
  int64_t step = pick(0, 2) ? 1 : 2;
  for (int k = static_cast<int>(order.size()) - 1; k >= 0; --k) {
    const int d = order[k];
    if (broadcast && pick(0, 2) == 0) continue;
    strides[d] = step;
    step *= shape[d] + (pick(0, 3) == 0 ? pick(1, 3) : 0);
  }
  return strides;
}
inline int64_t extent(const Shape& shape, const Strides& strides) {
  if (element_count(shape) == 0) return 0;
  int64_t last = 0;
  for (size_t d = 0; d < shape.size(); ++d) last += (shape[d] - 1) * strides[d];
  return last + 1;
}
inline int64_t offset_of(int64_t index, const Shape& shape, const Strides& strides) {
  int64_t offset = 0;
  for (int d = static_cast<int>(shape.size()) - 1; d >= 0; --d) {
    offset += index % shape[d] * strides[d];
    index /= shape[d];
  }
  return offset;
}
inline Shape random_shape(int rank, int64_t largest) {
  Shape shape(rank);
  for (int64_t& size : shape) size = pick(0, 4) == 0 ? 1 : pick(1, largest);
  return shape;
}

template <typename T>
std::vector<T> random_reals(int64_t count, double low = -2, double high = 2) {
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(draw(low, high));
  return values;
}
inline std::vector<int32_t> random_indices(int64_t count, int64_t size) {
  std::vector<int32_t> values(count);
  for (int32_t& value : values) value = static_cast<int32_t>(pick(0, size - 1));
  return values;
}
// Equal within tolerance * max(1, |expected|); NaN equals NaN, an infinity itself.
inline bool close(double value, double expected, double tolerance) {
  if (std::isnan(expected) || std::isnan(value)) return std::isnan(expected) && std::isnan(value);
  if (std::isinf(expected) || std::isinf(value)) return value == expected;
  return std::fabs(value - expected) <= tolerance * std::fmax(1.0, std::fabs(expected));
}
template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

struct KernelCase {
  Launch launch{};
  std::vector<Instr> instrs;
  std::vector<void*> pointers;

  KernelCase(LaunchCode code, const Shape& shape, int kept_rank = 0) {
    launch.code = code;
    launch.rank = static_cast<int32_t>(shape.size());
    launch.kept_rank = kept_rank;
    for (size_t d = 0; d < shape.size(); ++d) launch.shape[d] = shape[d];
  }
  void operand(void* pointer, const Strides& strides, bool is_index) {
    Operand& next = launch.operands[launch.operand_count++];
    next.is_index = is_index;
    for (size_t d = 0; d < strides.size(); ++d) next.strides[d] = strides[d];
    pointers.push_back(pointer);
    launch.register_count = launch.operand_count - 1;
  }
  template <typename T>
  void add(std::vector<T>& data, const Strides& strides) {
    operand(data.data(), strides, sizeof(T) == 4 && static_cast<T>(0.5) == 0);
  }
  void immediate(double value) {
    operand(nullptr, {}, false);
    launch.operands[launch.operand_count - 1].buffer = -1;
    launch.operands[launch.operand_count - 1].value = value;
  }
  // Appends an instruction with a register of its own and makes it the result.
  int instr(Op op, int a, int b = 0, int c = 0, double value = 0, Comparison comparison = Comparison::lt) {
    const int out = launch.register_count++;
    const auto byte = [](int v) { return static_cast<uint8_t>(v); };
    instrs.push_back({byte(static_cast<int>(op)), byte(static_cast<int>(comparison)), byte(out), byte(a), byte(b),
                      byte(c), false, value});
    launch.instr_count = static_cast<int32_t>(instrs.size());
    return launch.result_register = out;
  }
  // Runs all blocks in one call, or cut at random and backwards.
  template <typename T>
  KernelFault run(const cpu::KernelTable& table, bool split = false) {
    const int code = static_cast<int>(launch.code);
    const cpu::Kernel kernel = (sizeof(T) == 4 ? table.f32 : table.f64)[code];
    Launch cut = launch;
    cpu::cut_for_kernel(cut, sizeof(T) == 4 ? DType::f32 : DType::f64);
    const int64_t bytes = cut.scratch_bytes;
    const std::unique_ptr<void, decltype(&std::free)> scratch(std::aligned_alloc(64, (bytes + 127) / 64 * 64),
                                                              std::free);
    std::memset(scratch.get(), 0xff, bytes);  // NaN: registers must not be read before they are written
    KernelFault fault;
    for (int64_t end = cut.blocks; end > 0;) {
      const int64_t begin = split ? pick(std::max<int64_t>(0, end - 3), end - 1) : 0;
      kernel({launch, instrs.data(), pointers.data(), begin, end, scratch.get(), fault});
      end = begin;
    }
    return fault;
  }
};

// Runs a test for float and double.
template <typename F>
void for_reals(F test) {
  test(float{});
  test(double{});
}

}  // namespace ptmz::test
