// What each way of computing a convolution is estimated to take.
#include "backend/cuda/way.h"

#include <algorithm>
#include <cstdlib>

#include "backend/cuda/columns.h"
#include "backend/cuda/cut.h"

namespace ptmz::cuda {
namespace {

// Of an H100 or H200, per second. No card has set them yet: bandwidth and tensor cores are half of what the maker says,
// that of ordinary cores is what kernels such as ours reach elsewhere (a quarter of the peak for tiles, two thirds for
// cuBLAS). scripts/gpu/convolutions.mjs measures the ways side by side; these are the numbers to set from it.
struct Rates {
  double tiles = 15e12, library = 45e12, library_tf32 = 200e12, library_bf16 = 400e12;  // floating-point operations
  double bytes = 2e12;                                                                  // read or written
  double launch = 2e-6;                                                                 // seconds
};
constexpr Rates kRates;
constexpr double kDoubleIsSlower = 2;  // of both kinds of cores

struct Override {
  std::optional<Way> way;
  int64_t columns_bytes = kColumnsBytes;
};
Override& override_now() {
  static Override now = [] {
    Override from;
    const char* name = std::getenv("PTMZ_CUDA_CONVOLUTIONS");
    if (name != nullptr) from.way = way_named(name);  // another name was refused when the device was opened
    return from;
  }();
  return now;
}

double library_rate(const Launch& l, DType real) {
  if (real == DType::f64) return kRates.library / kDoubleIsSlower;
  return l.precision == Precision::full   ? kRates.library
         : l.precision == Precision::tf32 ? kRates.library_tf32
                                          : kRates.library_bf16;
}

// Columns are written once and read once, whichever comes first.
bool columns_are_faster(const Launch& l, DType real, const ImageCut& cut) {
  const double tiles = kRates.tiles / (real == DType::f64 ? kDoubleIsSlower : 1);
  const int64_t moves = cut.scratch_bytes > 0 ? 1 : 0;
  const double launches = static_cast<double>(cut.chunks * (moves + l.ints[6]) - 1);
  const double moved = 2 * static_cast<double>(cut.chunks * cut.scratch_bytes);
  return flops_of(l) / library_rate(l, real) + moved / kRates.bytes + launches * kRates.launch < flops_of(l) / tiles;
}

}  // namespace

int64_t columns_bytes() { return override_now().columns_bytes; }

void force_way(std::optional<Way> way, int64_t bytes) { override_now() = {way, bytes}; }

Way way_of(const Launch& l, DType real, bool library) {
  const std::optional<Way> asked = override_now().way;
  const bool narrow = fits_narrow(l), columns = library && cut_images(l, real == DType::f64 ? 8 : 4).chunks > 0;
  if (asked == Way::columns && columns) return Way::columns;
  if (asked == Way::narrow && narrow) return Way::narrow;
  if (asked) return Way::tiles;
  if (narrow) return Way::narrow;
  return columns && columns_are_faster(l, real, cut_images(l, real == DType::f64 ? 8 : 4)) ? Way::columns : Way::tiles;
}

}  // namespace ptmz::cuda
