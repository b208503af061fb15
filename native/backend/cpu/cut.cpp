// cut: the number of independent blocks of a launch and the scratch that one of them needs.
#include "backend/cpu/block_sizes.h"
#include "backend/cpu/contraction_plan.h"
#include "backend/cpu/widen.h"

namespace ptmz::cpu {

void cut(Launch& launch, DType real) {
  if (!is_widened(launch, real)) return cut_for_kernel(launch, real);
  cut_for_kernel(launch, DType::f64);
  launch.blocks = launch.blocks > 0;
  launch.scratch_bytes += widened_bytes(launch);
}

void cut_for_kernel(Launch& launch, DType real) {
  const int64_t element_bytes = real == DType::f32 ? 4 : 8;
  switch (launch.code) {
    case LaunchCode::matmul:
      launch.blocks = plan_matmul(launch).blocks;
      launch.scratch_bytes = kGemmScratch + register_bytes(launch, real);
      break;
    case LaunchCode::conv2d:
    case LaunchCode::conv2d_input: {
      const GatherPlan plan = plan_gather(launch, element_bytes);
      launch.blocks = plan.blocks;
      launch.scratch_bytes = plan.scratch_bytes;
      break;
    }
    case LaunchCode::conv2d_weight: {
      const WeightPlan plan = plan_weight(launch, element_bytes);
      launch.blocks = plan.blocks;
      launch.scratch_bytes = plan.scratch_bytes;
      break;
    }
    case LaunchCode::layer_norm:
    case LaunchCode::layer_norm_backward_input:
      launch.blocks = block_count(launch);
      launch.scratch_bytes = 2 * launch.shape[1] * element_bytes;
      break;
    case LaunchCode::layer_norm_backward_sums:
      launch.blocks = block_count(launch);
      launch.scratch_bytes = 2 * launch.shape[1] * (element_bytes + 8) + kCacheLine;
      break;
    case LaunchCode::attention:
    case LaunchCode::attention_backward: {
      const int64_t tables = launch.code == LaunchCode::attention ? 1 : 2;
      launch.blocks = block_count(launch);
      launch.scratch_bytes = kGemmScratch + tables * attention_table(launch) * element_bytes;
      break;
    }
    default:
      launch.blocks = block_count(launch);
      launch.scratch_bytes = register_bytes(launch, real);
  }
}

}  // namespace ptmz::cpu
