// Columns: a convolution as one large matrix product. Every pixel of the output is a column of a matrix whose rows are
// the inputs that it sees; the images of the output are rows, one for each channel (Chellapilla, Puri and Simard 2006).
#pragma once
#include "backend/cuda/cublas.h"

namespace ptmz::cuda {

// How images are cut into chunks whose columns and rows fit columns_bytes().
struct ImageCut {
  int64_t images = 0, chunks = 0;  // of a chunk but the last; no chunks: not even one image fits
  int64_t rows_at = 0;             // where the images as rows begin, in bytes
  int64_t scratch_bytes = 0;       // of one member; a multiple of 64
};
ImageCut cut_images(const Launch& launch, int64_t element_bytes);

cudaError_t multiply_columns(const DeviceLaunch& launch, Products& products, cudaStream_t stream);

}  // namespace ptmz::cuda
