// The CUDA kernels as a level: the tests that hold for the CPU's kernels run unchanged on the emulated device. Each
// launch is run twice: plainly, and for three members or with wide indices and another order of threads and blocks.
// Both must give the same bits.
#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "backend/cuda/enqueue.h"
#include "check.h"
#include "levels.h"

namespace ptmz::test {
namespace {

using cpu::Call;

int64_t product(const int64_t* shape, int begin, int end) {
  int64_t count = 1;
  for (int d = begin; d < end; ++d) count *= shape[d];
  return count;
}

int64_t output_element_bytes(const Launch& l, int64_t real_bytes) {
  const bool index = l.code == LaunchCode::argmax || l.code == LaunchCode::pool_argmax || l.operands[0].is_index;
  return index ? 4 : real_bytes;
}

// Elements from the output's first to its last.
int64_t output_extent(const Launch& l) {
  const int64_t *s = l.shape, all = product(s, 0, l.rank);
  switch (l.code) {
    case LaunchCode::map:
    case LaunchCode::copy_index: {
      int64_t last = 0;
      for (int d = 0; d < l.rank; ++d) last += (s[d] - 1) * l.operands[0].strides[d];
      return all == 0 ? 0 : last + 1;
    }
    case LaunchCode::reduce_sum:
    case LaunchCode::reduce_max:
    case LaunchCode::argmax:
      return product(s, 0, l.kept_rank);
    case LaunchCode::matmul:
      return product(s, 0, l.rank - 1);
    case LaunchCode::conv2d:
      return s[0] * s[4] * s[5] * s[6];
    case LaunchCode::conv2d_input:
      return s[0] * s[1] * s[2] * s[3];
    case LaunchCode::conv2d_weight:
      return s[4] * (s[1] / l.ints[6]) * l.ints[9] * l.ints[10];
    case LaunchCode::pool_argmax:
      return s[0] * s[1] * s[4] * s[5];
    case LaunchCode::scatter_add: {
      int64_t out = 1;
      for (int d = 0; d < l.rank; ++d) out *= d == l.ints[0] ? l.ints[3] : s[d];
      return out;
    }
    case LaunchCode::softmax_cross_entropy:
      return s[0];
    case LaunchCode::batch_statistics:
    case LaunchCode::batch_norm_backward_sums:
    case LaunchCode::layer_norm_backward_sums:
      return 2 * s[1];
    case LaunchCode::attention_backward:
      return 3 * all;
    default:
      return all;
  }
}

struct Way {
  cuda_on_host::Order order;
  bool wide;
  int64_t members;
};
constexpr Way kWays[] = {{cuda_on_host::Order::ascending, false, 1},
                         {cuda_on_host::Order::descending, false, 3},
                         {cuda_on_host::Order::shuffled, true, 1}};

// Runs the launch into `out`, which holds the members one after the other.
void run_once(const Call& call, DType real, const Way& way, char* out, int64_t out_bytes) {
  DeviceLaunch d{};
  Launch launch = call.launch;
  cuda::prepare(launch, real);
  CHECK(launch.scratch_bytes % 64 == 0);
  // Exactly what was asked for, filled with NaN.
  const std::unique_ptr<char[]> scratch(new char[static_cast<size_t>(way.members * launch.scratch_bytes)]);
  std::memset(scratch.get(), 0xff, static_cast<size_t>(way.members * launch.scratch_bytes));
  std::vector<uint32_t> tickets(static_cast<size_t>(way.members * launch.tickets));
  DeviceFault fault{};
  d.launch = &launch;
  d.instrs = call.instrs;
  d.real = real;
  d.members = way.members;
  for (int i = 0; i < launch.operand_count; ++i) d.pointers[i] = call.pointers[i];
  d.pointers[0] = out;
  d.member_bytes[0] = out_bytes;
  d.scratch = scratch.get();
  d.tickets = tickets.data();
  d.fault = &fault;
  cuda_on_host::set_order(way.order);
  cuda::use_wide_indices(way.wide);
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, 0);
  cuda_on_host::allow_host_memory(true);
  CHECK(cuda::enqueue(d, stream) == cudaSuccess);
  cuda_on_host::allow_host_memory(false);
  cudaStreamDestroy(stream);
  CHECK(std::count(tickets.begin(), tickets.end(), 0u) == static_cast<int64_t>(tickets.size()));
  cuda_on_host::set_order(cuda_on_host::Order::ascending);
  cuda::use_wide_indices(false);
  // Of several faults the first one found is kept, and only the plain order finds them as the CPU does.
  CHECK(fault.launch == 0 || fault.limit > 0);
  if (fault.launch != 0 && &way == kWays) call.fault = {0, fault.value, fault.limit};
}

template <typename T>
void run(const Call& call) {
  if (call.begin > 0) return;  // blocks are the CPU's: all of them at once here
  const Launch& l = call.launch;
  const DType real = sizeof(T) == 4 ? DType::f32 : DType::f64;
  const int64_t bytes = output_extent(l) * output_element_bytes(l, sizeof(T));
  char* out = static_cast<char*>(call.pointers[0]);
  for (int i = 1; i < l.operand_count; ++i)
    if (call.pointers[i] == out) return run_once(call, real, kWays[0], out, bytes);  // in place: once only
  static int turn = 0;  // the second way or the third, by turns
  ++turn;
  for (const Way& way : kWays) {
    if (&way == &kWays[1 + turn % 2]) continue;
    std::vector<char> copies;
    for (int64_t m = 0; m < way.members; ++m) copies.insert(copies.end(), out, out + bytes);
    run_once(call, real, way, copies.data(), bytes);
    if (&way == kWays) {
      // Gaps of a strided output keep what they held.
      std::copy(copies.begin(), copies.end(), out);
      continue;
    }
    bool same = true;
    for (int64_t m = 0; m < way.members; ++m) same = same && std::equal(out, out + bytes, copies.begin() + m * bytes);
    CHECK(same);
    if (!same) std::printf("  %s differs by members or order\n", name(l.code));
  }
}

}  // namespace

std::vector<std::string> levels() { return {"cuda"}; }

const cpu::KernelTable& kernels_of(const std::string& level) {
  static const cpu::KernelTable table = [] {
    cpu::KernelTable all{};
    all.level = "cuda";
    for (int code = 0; code < static_cast<int>(LaunchCode::count); ++code) {
      all.f32[code] = run<float>;
      all.f64[code] = run<double>;
    }
    return all;
  }();
  if (level != table.level) throw std::runtime_error("no level " + level);
  return table;
}

}  // namespace ptmz::test
