// Evaluator: the interpreter of instruction lists. Each thread keeps its registers in its own column of shared memory,
// where a register's number may be known at run time only; no two threads touch the same word.
#pragma once
#include <cmath>

#include "backend/cuda/kernels/index.h"
#include "ir/graph.h"

namespace ptmz::cuda {

// The scalar functions of the instruction list; no fast-math on either side.
__device__ inline float f_exp(float x) { return expf(x); }
__device__ inline double f_exp(double x) { return exp(x); }
__device__ inline float f_log(float x) { return logf(x); }
__device__ inline double f_log(double x) { return log(x); }
__device__ inline float f_sqrt(float x) { return sqrtf(x); }
__device__ inline double f_sqrt(double x) { return sqrt(x); }
__device__ inline float f_tanh(float x) { return tanhf(x); }
__device__ inline double f_tanh(double x) { return tanh(x); }
__device__ inline float f_sin(float x) { return sinf(x); }
__device__ inline double f_sin(double x) { return sin(x); }
__device__ inline float f_cos(float x) { return cosf(x); }
__device__ inline double f_cos(double x) { return cos(x); }
__device__ inline float f_erf(float x) { return erff(x); }
__device__ inline double f_erf(double x) { return erf(x); }
__device__ inline float f_fma(float x, float y, float z) { return fmaf(x, y, z); }
__device__ inline double f_fma(double x, double y, double z) { return fma(x, y, z); }

// powf and pow spell out what is exact, as the CPU does.
template <typename T>
__device__ inline T f_pow(T x, T exponent) {
  if (exponent == T(1)) return x;
  if (exponent == T(2)) return x * x;
  if (exponent == T(3)) return x * x * x;
  if (exponent == T(0.5)) return f_sqrt(x);
  if (exponent == T(-1)) return 1 / x;
  if (exponent == T(-0.5)) return 1 / f_sqrt(x);
  if constexpr (sizeof(T) == 4) return powf(x, exponent);
  return static_cast<T>(pow(static_cast<double>(x), static_cast<double>(exponent)));
}

// The registers of a thread, of W elements at a time: the loads and the arithmetic of several hide each other's
// latency.
template <typename T, int W>
class Registers {
 public:
  // `registers`: as many as there are * W * blockDim.x elements of shared memory.
  __device__ explicit Registers(T* registers) : registers_(registers + threadIdx.x) {}

  // Runs `count` instructions for all W elements.
  __device__ void run(const Instr* instrs, int count) {
    for (int i = 0; i < count; ++i) apply(instrs[i]);
  }

  __device__ T& at(int reg, int w) { return registers_[(reg * W + w) * static_cast<int>(blockDim.x)]; }

 private:
  template <typename F>
  __device__ void each(const Instr& instr, F f) {
    PTMZ_UNROLL
    for (int w = 0; w < W; ++w) at(instr.out, w) = f(at(instr.a, w), at(instr.b, w), at(instr.c, w));
  }

  __device__ void apply(const Instr& instr) {
    switch (static_cast<Op>(instr.op)) {
      case Op::add:
        if (instr.subtracts) return each(instr, [](T a, T b, T) { return a - b; });
        return each(instr, [](T a, T b, T) { return a + b; });
      case Op::mul:
        return each(instr, [](T a, T b, T) { return a * b; });
      case Op::fma:
        return each(instr, [](T a, T b, T c) { return f_fma(a, b, c); });
      case Op::neg:
        return each(instr, [](T a, T, T) { return -a; });
      case Op::recip:
        return each(instr, [](T a, T, T) { return 1 / a; });
      case Op::exp:
        return each(instr, [](T a, T, T) { return f_exp(a); });
      case Op::log:
        return each(instr, [](T a, T, T) { return f_log(a); });
      case Op::sqrt:
        return each(instr, [](T a, T, T) { return f_sqrt(a); });
      case Op::pow: {
        const T exponent = static_cast<T>(instr.value);
        return each(instr, [exponent](T a, T, T) { return f_pow(a, exponent); });
      }
      case Op::tanh:
        return each(instr, [](T a, T, T) { return f_tanh(a); });
      case Op::sin:
        return each(instr, [](T a, T, T) { return f_sin(a); });
      case Op::cos:
        return each(instr, [](T a, T, T) { return f_cos(a); });
      case Op::erf:
        return each(instr, [](T a, T, T) { return f_erf(a); });
      case Op::select:
        return each(instr, [](T a, T b, T c) { return a != 0 ? b : c; });
      case Op::compare: {
        const Comparison comparison = static_cast<Comparison>(instr.comparison);
        return each(instr, [comparison](T a, T b, T) { return holds(comparison, a, b) ? T(1) : T(0); });
      }
      default:  // cast, stop_gradient
        return each(instr, [](T a, T, T) { return a; });
    }
  }

  T* const registers_;
};

// What an instruction reads of an operand, at `offset()` elements from its first one where it is not an immediate
// value.
template <typename T, typename Offset>
__device__ inline T read_operand(const Task& task, int operand, const Offset& offset) {
  const TaskOperand& o = task.operands[operand];
  if (o.base == nullptr) return static_cast<T>(o.value);
  return o.is_index ? static_cast<T>(base_of<const int32_t>(task, operand)[offset()])
                    : base_of<const T>(task, operand)[offset()];
}

// Evaluates a task's instructions.
template <typename T, typename I, int W>
class Evaluator : public Registers<T, W> {
 public:
  __device__ Evaluator(const Task& task, T* registers) : Registers<T, W>(registers), task_(task) {}

  // Reads what the instructions need of element w.
  __device__ void load(int w, const Coordinates<I>& c) {
    for (int r = 0; r + 1 < task_.operand_count; ++r)
      this->at(r, w) = read_operand<T>(task_, r + 1, [&] { return c.offset(task_, task_.operands[r + 1]); });
  }

  // Runs the first `count` instructions for all W elements.
  __device__ void run(int count) { Registers<T, W>::run(task_.instrs, count); }

 private:
  const Task& task_;
};

}  // namespace ptmz::cuda
