// Packs convolutions of few channels into the parameters of as few launches as they fit into.
#include "backend/cuda/narrow.h"

#include <algorithm>
#include <limits>

#include "backend/cuda/cut.h"

namespace ptmz::cuda {
namespace {

NarrowBody body_of(const Launch& l, int outputs) {
  const int size = outputs == 2 ? 0 : outputs == 4 ? 1 : 2;
  const auto body = [&](NarrowBody smallest) { return static_cast<NarrowBody>(static_cast<int>(smallest) + size); };
  if (l.code == LaunchCode::conv2d) return body(NarrowBody::forward2);
  if (l.code == LaunchCode::conv2d_input) return body(NarrowBody::input2);
  return body(l.ints[9] == 1 ? NarrowBody::weight1_2 : NarrowBody::weight3_2);
}

NarrowTask task_of(const DeviceLaunch& given, const Cut& cut) {
  const Launch& l = *given.launch;
  NarrowTask t{};
  for (int i = 0; i < 3; ++i) {
    t.operands[i] = {static_cast<char*>(given.pointers[i]), given.member_bytes[i], {}};
    for (int d = 0; d < 2; ++d) t.operands[i].strides[d] = static_cast<int32_t>(l.operands[i].strides[d]);
  }
  std::copy(l.shape, l.shape + 7, t.shape);
  std::copy(l.ints, l.ints + 11, t.ints);
  t.blocks = static_cast<int32_t>(cut.groups);
  t.splits = static_cast<int32_t>(cut.splits);
  t.split_size = static_cast<int32_t>(cut.split_size);
  t.body = body_of(l, cut.tile);
  t.partials = static_cast<char*>(given.scratch);
  t.partials_member_bytes = cut.scratch_bytes;
  t.tickets = given.tickets;
  t.member_tickets = cut.tickets;
  return t;
}

}  // namespace

cudaError_t NarrowPacker::add(const DeviceLaunch& given) {
  const Cut cut = cut_narrow(*given.launch, given.real == DType::f64 ? 8 : 4);
  const bool other = given.members != members_ || given.real != real_;
  const bool full = count_ == kMostNarrowTasks || blocks_ + cut.groups > std::numeric_limits<int32_t>::max();
  const cudaError_t error = count_ > 0 && (other || full) ? flush() : cudaSuccess;
  if (error != cudaSuccess || cut.groups == 0) return error;
  members_ = given.members;
  real_ = given.real;
  pack_.tasks[count_++] = task_of(given, cut);
  blocks_ += cut.groups;
  shared_ = std::max(shared_, cut.shared_bytes);
  return cudaSuccess;
}

cudaError_t NarrowPacker::flush() {
  if (count_ == 0 || members_ == 0) return cudaSuccess;
  const auto kernel = count_ == 1 ? narrow_kernel(pack_.tasks[0].body, real_) : narrow_beside_kernel(real_);
  void* arguments[] = {&pack_};
  const dim3 grid(static_cast<unsigned>(blocks_), static_cast<unsigned>(members_));
  const cudaError_t error =
      cudaLaunchKernel(kernel, grid, dim3(kNarrowThreads), arguments, static_cast<size_t>(shared_), stream_);
  pack_ = {};
  count_ = 0;
  blocks_ = shared_ = 0;
  return error;
}

}  // namespace ptmz::cuda
