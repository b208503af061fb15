// Tuning: the sizes that make convolutions fast, found by `npm run tune` and committed. A table, not a measurement at
// run time: sums are grouped by these sizes, so a result's bits may depend on shapes and on the SIMD level, and on
// nothing else. The script rewrites the numbers; one to a line, in bytes or channels.
#pragma once
#include <cstdint>

namespace ptmz::cpu {

constexpr int64_t kWindowBytes = 393216;  // input that a convolution works on at a time: second-level cache
constexpr int64_t kTileBytes = 65536;     // x and y that a weight gradient's tile for one tap walks over: first level
constexpr int64_t kAccumulatorBytes = 262144;  // partial weight gradients of a block
constexpr int64_t kFewPlanes = 8;              // most channels whose planes are read where they lie, not copied

// By SIMD level. Most channels of the output in a register tile: every tile reads its pixels of all source channels
// once more, so many channels and few pixels read less.
constexpr int kChannelsAvx512 = 6;
constexpr int kChannelsAvx2 = 4;
constexpr int kChannelsPortable = 4;
// Channels of y by channels of x in a weight gradient's tile for one tap.
constexpr int kOutputsAvx512 = 6;
constexpr int kOutputsAvx2 = 4;
constexpr int kOutputsPortable = 4;
constexpr int kInputsAvx512 = 4;
constexpr int kInputsAvx2 = 2;
constexpr int kInputsPortable = 2;

}  // namespace ptmz::cpu
