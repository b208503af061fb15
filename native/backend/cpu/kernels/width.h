// Width: the vectors of this SIMD level.
#pragma once

#ifndef PTMZ_SIMD_LEVEL
#define PTMZ_SIMD_LEVEL portable
#endif

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kHalfVectorBytes = 32, kVectorRegisters = 32;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kHalfVectorBytes = 32, kVectorRegisters = 16;
#else
constexpr int kVectorBytes = 16, kHalfVectorBytes = 16, kVectorRegisters = 16;
#endif

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
