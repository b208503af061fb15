// Columns: a convolution as one large matrix product. Every pixel of the output is a column of a matrix whose rows are
// the inputs that it sees (Chellapilla, Puri and Simard 2006); images with the channel outermost, or last, are a matrix
// by themselves, and so are the columns of a 1x1 convolution that skips no pixel.
#pragma once
#include "backend/cuda/cublas.h"

namespace ptmz::cuda {

// How images are cut into chunks whose columns fit columns_bytes().
struct ImageCut {
  int64_t images = 0, chunks = 0;  // of a chunk but the last; no chunks: not even one image fits
  int64_t scratch_bytes = 0;       // of one member; a multiple of 64, 0: the images are columns as they are
};
ImageCut cut_images(const Launch& launch, int64_t element_bytes);

cudaError_t multiply_columns(const DeviceLaunch& launch, Products& products, cudaStream_t stream);

}  // namespace ptmz::cuda
