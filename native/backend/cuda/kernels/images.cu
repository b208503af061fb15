// Kernels that bring images into a batch: what is drawn for them, their pixels moved, their colours changed,
// normalised, a part of them erased. Compiled so that no product and sum are fused: the bytes are the CPU's.
#include "backend/cuda/kernels/step.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {
namespace {

// A block at work on an image.
struct Block {
  int lane, lanes;
  __device__ void meet() const { __syncthreads(); }
  __device__ void count(int32_t& number) const { atomicAdd(&number, 1); }
};

__device__ inline RandomKey key_at(const StepTask& task, int64_t m, int64_t i, uint32_t stream = 0) {
  return sample_key(task.seeds[m], static_cast<uint32_t>(task.place->epoch), sample_at(task, m, i), stream);
}

__global__ void draw_images(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t i) {
    const AugmentOptions& o = task.augment;
    const AugmentDraw draw = draw_augmentation(o, task.seeds[m], static_cast<uint32_t>(task.place->epoch),
                                               static_cast<uint32_t>(sample_at(task, m, i)));
    ImageDraw& image = task.draws[m * task.batch + i];
    image.walk = walk_of(o, draw);
    image.erased = o.ops ? erased_part(task.ops.erasing, key_at(task, m, i), o.height, o.width) : Rectangle{};
  });
}

// The place in its plane of the pixel that pixel k shows, or -1.
__device__ inline int64_t shown(const StepTask& task, int64_t m, int64_t i, int64_t k) {
  if (task.draws == nullptr) return k;
  const PixelWalk& walk = task.draws[m * task.batch + i].walk;
  const int32_t row = static_cast<int32_t>(k) / walk.width, column = static_cast<int32_t>(k) - row * walk.width;
  return shown_pixel(walk, walk.x + row * walk.next_x, walk.y + row * walk.next_y, column) - 1;
}

// Where the image of a batch is that recolour() makes; its room follows.
__device__ inline uint8_t* coloured(const StepTask& task, int64_t m, int64_t i) {
  return task.coloured + (m * task.batch + i) * 2 * task.channels * task.plane;
}

// One block per image: some operations need numbers of the whole of it.
__global__ void recolour_images(PTMZ_STEP) {
  PTMZ_DYNAMIC_SHARED(int32_t, histogram);
  const Block team{static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x)};
  const int64_t i = blockIdx.x;
  for_each_member(task, [&](int64_t m) {
    const ByteImage image{coloured(task, m, i), static_cast<int32_t>(task.channels),
                          static_cast<int32_t>(task.augment.height), static_cast<int32_t>(task.augment.width)};
    const ImageRoom room{image.pixels + image.size(), histogram,
                         reinterpret_cast<uint8_t*>(histogram + 256 * task.channels)};
    const uint8_t* const stored = static_cast<const uint8_t*>(task.samples) + sample_at(task, m, i) * image.size();
    each(team, task.plane, [&](int64_t k) {
      const int64_t from = shown(task, m, i, k);
      for (int32_t c = 0; c < image.channels; ++c)
        image.channel(c)[k] = from < 0 ? uint8_t{0} : stored[c * task.plane + from];
    });
    recolour(team, image, room, task.ops, key_at(task, m, i));
  });
}

// Pixel k of channel c of the image at place i, normalised.
template <typename T>
__device__ inline T normalised(const StepTask& task, int64_t m, int64_t i, int64_t c, int64_t k) {
  const T* const table = static_cast<const T*>(task.table) + 256 * c;
  if (task.coloured != nullptr) return table[coloured(task, m, i)[c * task.plane + k]];
  const int64_t from = shown(task, m, i, k), at = (sample_at(task, m, i) * task.channels + c) * task.plane + from;
  if (task.stored == DType::u8) return table[from < 0 ? 0 : static_cast<const uint8_t*>(task.samples)[at]];
  const float x = from < 0 ? 0 : static_cast<const float*>(task.samples)[at];
  return static_cast<T>((x - task.mean[c]) / task.deviation[c]);
}

__device__ inline bool is_erased(const StepTask& task, int64_t m, int64_t i, int64_t k) {
  if (task.draws == nullptr || !task.augment.ops) return false;
  const Rectangle& part = task.draws[m * task.batch + i].erased;
  const int32_t width = static_cast<int32_t>(task.augment.width), row = static_cast<int32_t>(k) / width;
  return lies_within(row - part.top, part.height) &&
         lies_within(static_cast<int32_t>(k) - row * width - part.left, part.width);
}

template <typename T>
__global__ void load_images(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t index) {
    const int64_t size = task.channels * task.plane, i = index / size, within = index - i * size;
    const int64_t c = within / task.plane, k = within - c * task.plane;
    T* const x = row_of<T>(task.x, m) + index;
    if (!is_erased(task, m, i, k)) {
      *x = normalised<T>(task, m, i, c, k);
    } else if (task.ops.erasing.noise) {
      *x = static_cast<T>(random_normal(key_at(task, m, i, 1), static_cast<uint64_t>(within)));
    } else {
      *x = static_cast<T>(task.fill[c]);
    }
  });
}

}  // namespace

StepKernel image_kernel(StepCode code, DType real) {
  switch (code) {
    case StepCode::draw_images:
      return draw_images;
    case StepCode::recolour:
      return recolour_images;
    case StepCode::load_images:
      return real == DType::f64 ? load_images<double> : load_images<float>;
    default:
      return nullptr;
  }
}

}  // namespace ptmz::cuda
