// Launches built by hand: runs one contraction on one SIMD level, block by block.
#pragma once
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "ir/error.h"
#include "levels.h"

namespace launches {

using namespace ptmz;

template <typename T>
constexpr DType kReal = sizeof(T) == 4 ? DType::f32 : DType::f64;

// Numbers in [-1, 1) that depend on the seed only.
template <typename T>
std::vector<T> random_values(int64_t count, uint32_t seed) {
  std::vector<T> values(count);
  uint32_t state = seed * 2654435761u + 1;
  for (T& value : values) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<T>((state >> 8) / 8388608.0 - 1.0);
  }
  return values;
}

// Scratch of exactly the bytes that a launch asks for, filled with NaN.
class Scratch {
 public:
  explicit Scratch(int64_t bytes) : bytes_((bytes + 63) / 64 * 64), data_(std::aligned_alloc(64, bytes_ + 64)) {
    std::memset(data_, 0xff, bytes_);
  }
  Scratch(const Scratch&) = delete;
  ~Scratch() { std::free(data_); }
  void* data() const { return data_; }

 private:
  int64_t bytes_;
  void* data_;
};

// Runs the launch with `at_once` blocks per call (0: all); the output starts as NaN.
template <typename T>
std::vector<T> run(const std::string& level, Launch launch, int64_t size, const std::vector<T>& first,
                   const std::vector<T>& second, int64_t at_once = 0) {
  cpu::cut_for_kernel(launch, kReal<T>);
  const cpu::KernelTable& table = test::kernels_of(level);
  const cpu::Kernel kernel = (sizeof(T) == 4 ? table.f32 : table.f64)[static_cast<int>(launch.code)];
  std::vector<T> out(size, std::numeric_limits<T>::quiet_NaN());
  void* const pointers[3] = {out.data(), const_cast<T*>(first.data()), const_cast<T*>(second.data())};
  KernelFault fault;
  const int64_t step = at_once > 0 ? at_once : launch.blocks;
  for (int64_t block = 0; block < launch.blocks; block += step) {
    Scratch scratch(launch.scratch_bytes);
    const int64_t end = block + step < launch.blocks ? block + step : launch.blocks;
    kernel({launch, nullptr, pointers, block, end, scratch.data(), fault});
  }
  return out;
}

// Largest difference, or infinity where one of the two is not a number.
template <typename T>
double difference(const std::vector<T>& a, const std::vector<T>& b) {
  double most = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    const double d = a[i] > b[i] ? static_cast<double>(a[i]) - b[i] : static_cast<double>(b[i]) - a[i];
    if (!(d <= most)) most = d == d ? d : std::numeric_limits<double>::infinity();
  }
  return most;
}
template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// x (n,c,h,w), w (o,c/groups,kh,kw), y (n,o,oh,ow).
struct Conv {
  int64_t n, c, h, w, o, kh, kw, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dilation_h = 1, dilation_w = 1,
                                 groups = 1;
  int64_t oh() const { return (h + 2 * pad_h - dilation_h * (kh - 1) - 1) / stride_h + 1; }
  int64_t ow() const { return (w + 2 * pad_w - dilation_w * (kw - 1) - 1) / stride_w + 1; }
  int64_t x_size() const { return n * c * h * w; }
  int64_t w_size() const { return o * (c / groups) * kh * kw; }
  int64_t y_size() const { return n * o * oh() * ow(); }
  double work() const { return 2.0 * y_size() * (c / groups) * kh * kw; }

  Launch launch(LaunchCode code) const {
    Launch l = {};
    l.code = code;
    l.rank = 7;
    const int64_t shape[] = {n, c, h, w, o, oh(), ow()};
    const int64_t ints[] = {stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, h, w, kh, kw};
    std::memcpy(l.shape, shape, sizeof shape);
    std::memcpy(l.ints, ints, sizeof ints);
    l.operand_count = 3;
    // conv2d y, x, w; conv2d_input x, w, y; conv2d_weight w, x, y
    const bool forward = code == LaunchCode::conv2d, input = code == LaunchCode::conv2d_input;
    const auto dense = [&](int operand, int64_t inner, int64_t height, int64_t width) {
      const int64_t strides[] = {inner * height * width, height * width, width, 1};
      std::memcpy(l.operands[operand].strides, strides, sizeof strides);
    };
    dense(forward ? 0 : 2, o, oh(), ow());
    dense(input ? 0 : 1, c, h, w);
    dense(forward ? 2 : input ? 1 : 0, c / groups, kh, kw);
    return l;
  }
};

// a (batch..., M, K) and b (batch..., K, N), elements `spread` apart (no BLAS takes more than 1); the output is dense.
struct Matmul {
  std::vector<int64_t> batch;
  int64_t m, n, k;
  bool a_transposed = false, b_transposed = false, a_shared = false, b_shared = false;
  int64_t spread = 1;
  int64_t batch_count() const {
    int64_t count = 1;
    for (int64_t size : batch) count *= size;
    return count;
  }
  int64_t a_size() const { return (a_shared ? 1 : batch_count()) * m * k * spread; }
  int64_t b_size() const { return (b_shared ? 1 : batch_count()) * n * k * spread; }
  int64_t out_size() const { return batch_count() * m * n; }
  int64_t a_at(int64_t item, int64_t i, int64_t p) const {
    return spread * ((a_shared ? 0 : item * m * k) + (a_transposed ? p * m + i : i * k + p));
  }
  int64_t b_at(int64_t item, int64_t p, int64_t j) const {
    return spread * ((b_shared ? 0 : item * n * k) + (b_transposed ? j * k + p : p * n + j));
  }

  Launch launch() const {
    Launch l = {};
    l.code = LaunchCode::matmul;
    const int rank = static_cast<int>(batch.size());
    l.rank = rank + 3;
    l.operand_count = 3;
    int64_t inner = 1;
    for (int d = rank - 1; d >= 0; --d) {
      l.shape[d] = batch[d];
      l.operands[0].strides[d] = inner * m * n;
      l.operands[1].strides[d] = a_shared ? 0 : spread * inner * m * k;
      l.operands[2].strides[d] = b_shared ? 0 : spread * inner * n * k;
      inner *= batch[d];
    }
    const int64_t sizes[] = {m, n, k};
    const int64_t strides[3][3] = {
        {n, 1, 0}, {a_transposed ? 1 : k, 0, a_transposed ? m : 1}, {0, b_transposed ? k : 1, b_transposed ? 1 : n}};
    for (int d = 0; d < 3; ++d) {
      l.shape[rank + d] = sizes[d];
      for (int operand = 0; operand < 3; ++operand) {
        l.operands[operand].strides[rank + d] = strides[operand][d] * (operand == 0 ? 1 : spread);
      }
    }
    return l;
  }
};

}  // namespace launches
