// Vector math: exp, log, tanh and erf as branch-free expressions that compilers vectorise, and plain overloads of the
// C library's functions (the inline overloads of <cmath> must not be emitted from files built for one SIMD level).
//
// Errors are below 3 units in the last place (test/native/elementwise_test.cpp).
#pragma once
#include <math.h>

#include "backend/cpu/kernel.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

inline float c_sin(float x) { return ::sinf(x); }
inline double c_sin(double x) { return ::sin(x); }
inline float c_cos(float x) { return ::cosf(x); }
inline double c_cos(double x) { return ::cos(x); }
inline float c_pow(float x, float e) { return ::powf(x, e); }
inline double c_pow(double x, double e) { return ::pow(x, e); }
inline float c_sqrt(float x) { return ::sqrtf(x); }
inline double c_sqrt(double x) { return ::sqrt(x); }
inline float c_fma(float x, float y, float z) { return ::fmaf(x, y, z); }
inline double c_fma(double x, double y, double z) { return ::fma(x, y, z); }

inline float as_float(uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline uint32_t as_bits(float x) { return __builtin_bit_cast(uint32_t, x); }
inline double as_double(uint64_t bits) { return __builtin_bit_cast(double, bits); }
inline uint64_t as_bits(double x) { return __builtin_bit_cast(uint64_t, x); }

// e^x = 2^n e^r with n = round(x / ln 2); ln 2 is split in two so that r is exact (Cody and Waite 1980). The power of
// two is applied in two factors, so that results beyond the normal range come out as infinity or a subnormal.
inline float v_exp(float x) {
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  const float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, held in the low bits
  const float t = x * 1.44269504088896341f + shift, n = t - shift;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;  // Cephes expf
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const int32_t power = static_cast<int32_t>(as_bits(t) - as_bits(shift)), half = power >> 1;
  return p * as_float(static_cast<uint32_t>(half + 127) << 23) *
         as_float(static_cast<uint32_t>(power - half + 127) << 23);
}

// As above; the Taylor polynomial of degree 13 is exact to 4e-18 for |r| <= ln(2) / 2.
inline double v_exp(double x) {
  x = x > 710.0 ? 710.0 : x;
  x = x < -746.0 ? -746.0 : x;
  const double shift = 6755399441055744.0;  // 1.5 * 2^52
  const double t = x * 1.4426950408889634 + shift, n = t - shift;
  const double r = (x - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
  double p = 1.0 / 6227020800;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * (r * r) + r + 1.0;
  const int64_t power = static_cast<int64_t>(as_bits(t) - as_bits(shift));
  // 2^power in two factors; the biased shift keeps the arithmetic unsigned, which every level can vectorise.
  const uint64_t biased = static_cast<uint64_t>(power + 2048), half = biased >> 1;
  return p * as_double((half - 1024 + 1023) << 52) * as_double((biased - half - 1024 + 1023) << 52);
}

// tanh x = 1 - 2 / (e^2x + 1) for large |x|, where e^2x is v_exp's without its care for the ends of the range; an odd
// polynomial (Cephes) near 0, where that would cancel.
inline float v_tanh(float x) {
  const float a = as_float(as_bits(x) & 0x7fffffffu), z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  p = p * z * x + x;
  const float b = a > 10.0f ? 10.0f : a;  // from 9.02 on tanh is 1
  const float shift = 12582912.0f;
  const float t = b * (2 * 1.44269504088896341f) + shift, n = t - shift;
  const float r = (b + b - n * 0.693359375f) - n * -2.12194440e-4f;
  float e = 1.9875691500e-4f;
  e = e * r + 1.3981999507e-3f;
  e = e * r + 8.3334519073e-3f;
  e = e * r + 4.1665795894e-2f;
  e = e * r + 1.6666665459e-1f;
  e = e * r + 5.0000001201e-1f;
  e = e * (r * r) + r + 1.0f;
  e *= as_float((as_bits(t) << 23) + 0x3f800000u);  // the low bits of t are n
  const float large = 1.0f - 2.0f / (e + 1.0f);
  const uint32_t magnitude = as_bits(a < 0.625f ? p : large) & 0x7fffffffu;
  return as_float(magnitude | (as_bits(x) & 0x80000000u));
}
inline double v_tanh(double x) {
  const double a = as_double(as_bits(x) & 0x7fffffffffffffffu), z = x * x;
  const double p = ((-9.64399179425052238628e-1 * z - 9.92877231001918586564e1) * z - 1.61468768441708447952e3);
  const double q = ((z + 1.12811678491632931402e2) * z + 2.23548839060100448583e3) * z + 4.84406305325125486048e3;
  const double small = x + x * z * (p / q);
  const double large = 1.0 - 2.0 / (v_exp(a + a) + 1.0);
  const uint64_t magnitude = as_bits(a < 0.625 ? small : large) & 0x7fffffffffffffffu;
  return as_double(magnitude | (as_bits(x) & 0x8000000000000000u));
}

// log x = log m + e ln 2 with m in [sqrt 1/2, sqrt 2) (Cephes logf).
inline float v_log(float x) {
  const bool tiny = x < 1.17549435e-38f;
  const uint32_t bits = as_bits(tiny ? x * 8388608.0f : x);
  // Adding the distance from sqrt(1/2) to 1 carries into the exponent exactly when m >= sqrt(1/2).
  const uint32_t moved = bits + (0x3f800000u - 0x3f3504f3u);
  const float e = static_cast<float>(static_cast<int32_t>(moved >> 23) - 127) - (tiny ? 23.0f : 0.0f);
  const float f = as_float((moved & 0x007fffffu) + 0x3f3504f3u) - 1.0f, z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  const float y = p * f * z - e * 2.12194440e-4f - 0.5f * z;
  float result = f + y + e * 0.693359375f;
  result = x < as_float(0x7f800000u) ? result : x;  // infinity and NaN
  result = x == 0.0f ? as_float(0xff800000u) : result;
  return x < 0.0f ? as_float(0x7fc00000u) : result;
}
inline double v_log(double x) { return ::log(x); }

// A polynomial near 0, else 1 - exp(q(|x|)) with a polynomial q (N. Juffa's erff).
inline float v_erf(float x) {
  const float a = as_float(as_bits(x) & 0x7fffffffu), z = x * x;
  float q = (-1.72853470e-5f * a + 3.83197126e-4f) * z + (-3.88396438e-3f * a + 2.42546219e-2f);
  q = q * a - 1.06777877e-1f;
  q = q * a - 6.34846687e-1f;
  q = q * a - 1.28717512e-1f;
  q = q * a - a;
  float p = -5.96761703e-4f;
  p = p * z + 4.99119423e-3f;
  p = p * z - 2.67681349e-2f;
  p = p * z + 1.12819925e-1f;
  p = p * z - 3.76125336e-1f;
  p = p * z + 1.28379166e-1f;
  p = p * a + a;
  const float magnitude = a > 0.927734375f ? 1.0f - v_exp(q) : p;
  return as_float((as_bits(magnitude) & 0x7fffffffu) | (as_bits(x) & 0x80000000u));
}
inline double v_erf(double x) { return ::erf(x); }

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
