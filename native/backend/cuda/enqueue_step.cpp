// The grid of each kernel around a program: blocks along x share a member's elements, those along y the members.
#include "backend/cuda/enqueue_step.h"

#include <algorithm>

#include "backend/cuda/cut.h"
#include "backend/cuda/kernels/table.h"
#include "backend/device_launch.h"

namespace ptmz::cuda {
namespace {

struct Shape {
  StepKernel kernel;
  int64_t blocks;  // along x
  int64_t shared = 0;
};

Shape shape_of(const StepTask& task) {
  const int64_t elements = divide_up(task.count, kThreads), cells = kThreads * static_cast<int64_t>(sizeof(double));
  switch (task.code) {
    case StepCode::set_place:
      return {sample_kernel(task.code), 1};
    case StepCode::shuffle:
      return {sample_kernel(task.code), 1, kThreads * static_cast<int64_t>(sizeof(int32_t))};
    case StepCode::load_tokens:
    case StepCode::load_labels:
      return {sample_kernel(task.code), elements};
    case StepCode::draw_images:
    case StepCode::load_images:
      return {image_kernel(task.code, task.real), elements};
    case StepCode::recolour:  // a block is an image
      return {image_kernel(task.code, task.real), task.count, recolour_bytes(task.channels)};
    case StepCode::accept:
      return {step_kernel(task.code, task.real), 1, cells};
    case StepCode::freeze:
      return {step_kernel(task.code, task.real), 1};
    case StepCode::norm_parts:
      return {step_kernel(task.code, task.real), divide_up(task.count, kNormPart), cells};
    case StepCode::make_rules:
      return {optimiser_kernel(task.code, task.real, task.optimiser), 1, cells};
    case StepCode::check_update:
    case StepCode::update:  // a block is a piece
      return {optimiser_kernel(task.code, task.real, task.optimiser), task.count};
    default:
      return {step_kernel(task.code, task.real), elements};
  }
}

}  // namespace

cudaError_t enqueue(const StepTask& task, cudaStream_t stream) {
  const auto [kernel, blocks, shared] = shape_of(task);
  if (kernel == nullptr) return cudaErrorInvalidValue;
  if (blocks == 0 || task.members == 0) return cudaSuccess;
  void* arguments[] = {const_cast<StepTask*>(&task)};
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(std::min(task.members, kMaxDeviceMembers)));
  return cudaLaunchKernel(kernel, grid, dim3(kThreads), arguments, static_cast<size_t>(shared), stream);
}

}  // namespace ptmz::cuda
