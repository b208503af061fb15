// Which kernel takes which of the launches.
#include "backend/cuda/beside.h"

#include "backend/cuda/enqueue.h"
#include "backend/cuda/narrow.h"
#include "backend/cuda/small_maps.h"
#include "backend/cuda/way.h"

namespace ptmz::cuda {
namespace {

// Of a member; more take longer than it takes to launch them, and then a kernel of their own, which has fewer
// registers, is worth more. An estimate, as the rates in way.cpp are.
constexpr double kShortFlops = 1 << 26;

}  // namespace

bool runs_beside(const Launch& l, DType real) {
  return is_convolution(l.code) && flops_of(l) <= kShortFlops && way_of(l, real, false) == Way::narrow;
}

cudaError_t enqueue_beside(const DeviceLaunch* launches, int64_t count, cudaStream_t stream) {
  SmallMapsPacker maps(stream);
  NarrowPacker convolutions(stream);
  for (int64_t i = 0; i < count; ++i) {
    const DeviceLaunch& given = launches[i];
    const cudaError_t error = SmallMapsPacker::takes(*given.launch)    ? maps.add(given)
                              : runs_beside(*given.launch, given.real) ? convolutions.add(given)
                                                                       : enqueue(given, stream);
    if (error != cudaSuccess) return error;
  }
  const cudaError_t error = maps.flush();
  return error == cudaSuccess ? convolutions.flush() : error;
}

}  // namespace ptmz::cuda
