// Kernels that bring samples into a batch: their order, and tokens and labels themselves; images are in images.cu.
#include <algorithm>

#include "backend/cuda/kernels/step.h"
#include "backend/cuda/kernels/table.h"
#include "backend/shared/order.h"

namespace ptmz::cuda {
namespace {

__global__ void set_place(PTMZ_STEP) {
  if (threadIdx.x == 0) *task.place = task.next_place;
}

// One block per member: all threads draw the next places, the first one swaps. A swap needs the one before it.
__global__ void shuffle(PTMZ_STEP) {
  PTMZ_DYNAMIC_SHARED(int32_t, targets);
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  for_each_member(task, [&](int64_t m) {
    int32_t* const order = task.order + m * task.sample_count;
    const RandomKey key = order_key(task.seeds[m], static_cast<uint32_t>(task.next_place.epoch));
    for (int64_t i = thread; i < task.sample_count; i += threads) order[i] = static_cast<int32_t>(i);
    for (int64_t last = task.sample_count - 1; last > 0; last -= threads) {
      if (last - thread > 0) targets[thread] = static_cast<int32_t>(order_target(key, last - thread));
      __syncthreads();
      for (int t = 0; thread == 0 && t < threads && last - t > 0; ++t) {
        const int32_t swapped = order[last - t];
        order[last - t] = order[targets[t]];
        order[targets[t]] = swapped;
      }
      __syncthreads();
    }
  });
}

// Sample i is `window` tokens from i * stride on, its labels are those one further.
__global__ void load_tokens(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t index) {
    const int64_t i = index / task.window, within = index - i * task.window;
    const int32_t* const token =
        static_cast<const int32_t*>(task.samples) + sample_at(task, m, i) * task.stride + within;
    if (task.x.data != nullptr) row_of<int32_t>(task.x, m)[index] = token[0];
    if (task.y.data != nullptr) row_of<int32_t>(task.y, m)[index] = token[1];
  });
}

__global__ void load_labels(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t i) {
    if (task.y.data != nullptr && task.labels != nullptr && i < task.batch)
      row_of<int32_t>(task.y, m)[i] = task.labels[sample_at(task, m, i)];
    if (task.key.data == nullptr || i != 0) return;
    const uint64_t seed = task.seeds[m];
    int32_t* const key = row_of<int32_t>(task.key, m);
    key[0] = static_cast<int32_t>(static_cast<uint32_t>(seed));
    key[1] = static_cast<int32_t>(static_cast<uint32_t>(seed >> 32));
    key[2] = static_cast<int32_t>(static_cast<uint32_t>(task.place->epoch));
    key[3] = static_cast<int32_t>(static_cast<uint32_t>(task.place->number));
  });
}

}  // namespace

StepKernel sample_kernel(StepCode code) {
  switch (code) {
    case StepCode::set_place:
      return set_place;
    case StepCode::shuffle:
      return shuffle;
    case StepCode::load_tokens:
      return load_tokens;
    case StepCode::load_labels:
      return load_labels;
    default:
      return nullptr;
  }
}

}  // namespace ptmz::cuda
