// Kernels that bring samples into a batch: their order, their augmentation, and images, tokens and labels themselves.
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

// The number of the sample at place i of the batch.
__device__ inline int64_t sample_at(const StepTask& task, int64_t m, int64_t i) {
  const int64_t at = task.place->first + i;
  return task.order == nullptr ? at : task.order[m * task.sample_count + at];
}

__global__ void draw_walks(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t i) {
    const AugmentDraw draw = draw_augmentation(task.augment, task.seeds[m], static_cast<uint32_t>(task.place->epoch),
                                               static_cast<uint32_t>(sample_at(task, m, i)));
    task.walks[m * task.batch + i] = walk_of(task.augment, draw);
  });
}

// The place in its plane of the pixel that pixel k shows, or -1.
__device__ inline int64_t shown(const StepTask& task, int64_t m, int64_t i, int64_t k) {
  if (task.walks == nullptr) return k;
  const PixelWalk& walk = task.walks[m * task.batch + i];
  const int32_t row = static_cast<int32_t>(k) / walk.width, column = static_cast<int32_t>(k) - row * walk.width;
  return shown_pixel(walk, walk.x + row * walk.next_x, walk.y + row * walk.next_y, column) - 1;
}

template <typename T>
__global__ void load_images(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t index) {
    const int64_t size = task.channels * task.plane, i = index / size, within = index - i * size;
    const int64_t c = within / task.plane, from = shown(task, m, i, within - c * task.plane);
    const int64_t at = sample_at(task, m, i) * size + c * task.plane + from;
    T value;
    if (task.stored == DType::u8) {
      const int byte = from < 0 ? 0 : static_cast<const uint8_t*>(task.samples)[at];
      value = static_cast<const T*>(task.table)[256 * c + byte];
    } else {
      const float x = from < 0 ? 0 : static_cast<const float*>(task.samples)[at];
      value = static_cast<T>((x - task.mean[c]) / task.deviation[c]);
    }
    row_of<T>(task.x, m)[index] = value;
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

StepKernel sample_kernel(StepCode code, DType real) {
  switch (code) {
    case StepCode::set_place:
      return set_place;
    case StepCode::shuffle:
      return shuffle;
    case StepCode::draw_walks:
      return draw_walks;
    case StepCode::load_images:
      return real == DType::f64 ? load_images<double> : load_images<float>;
    case StepCode::load_tokens:
      return load_tokens;
    case StepCode::load_labels:
      return load_labels;
    default:
      return nullptr;
  }
}

}  // namespace ptmz::cuda
