// Evaluator: the block interpreter. It runs an instruction list over blocks of an iteration space, one register per
// value, so that a group of elementwise operators makes one pass over memory.
#pragma once
#include "backend/cpu/kernels/vector_math.h"
#include "backend/cpu/kernels/views.h"
#include "ir/graph.h"

namespace ptmz::cpu::PTMZ_SIMD_LEVEL {
namespace {

template <typename T, typename F>
void each(T* out, const T* a, int64_t n, F f) {
  PTMZ_VECTORISE
  for (int64_t i = 0; i < n; ++i) out[i] = f(a[i]);
}

template <typename T, typename F>
void each(T* out, const T* a, const T* b, int64_t n, F f) {
  PTMZ_VECTORISE
  for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
}

template <typename T>
void apply_pow(T* out, const T* a, double exponent, int64_t n) {
  const T e = static_cast<T>(exponent);
  if (exponent == 1) return each(out, a, n, [](T x) { return x; });
  if (exponent == 2) return each(out, a, n, [](T x) { return x * x; });
  if (exponent == 3) return each(out, a, n, [](T x) { return x * x * x; });
  if (exponent == 0.5) return each(out, a, n, [](T x) { return c_sqrt(x); });
  if (exponent == -1) return each(out, a, n, [](T x) { return 1 / x; });
  if (exponent == -0.5) return each(out, a, n, [](T x) { return 1 / c_sqrt(x); });
  each(out, a, n, [e](T x) { return c_pow(x, e); });
}

template <typename T>
void apply_compare(T* out, const T* a, const T* b, Comparison comparison, int64_t n) {
  const T one = 1, zero = 0;
  switch (comparison) {
    case Comparison::lt:
      return each(out, a, b, n, [=](T x, T y) { return x < y ? one : zero; });
    case Comparison::le:
      return each(out, a, b, n, [=](T x, T y) { return x <= y ? one : zero; });
    case Comparison::gt:
      return each(out, a, b, n, [=](T x, T y) { return x > y ? one : zero; });
    case Comparison::ge:
      return each(out, a, b, n, [=](T x, T y) { return x >= y ? one : zero; });
    case Comparison::eq:
      return each(out, a, b, n, [=](T x, T y) { return x == y ? one : zero; });
    case Comparison::ne:
      return each(out, a, b, n, [=](T x, T y) { return x != y ? one : zero; });
  }
}

// out = op(a, b, c) over n elements; out may be one of the inputs.
template <typename T>
void apply(const Instr& instr, T* out, const T* a, const T* b, const T* c, int64_t n) {
  switch (static_cast<Op>(instr.op)) {
    case Op::add:
      if (instr.subtracts) return each(out, a, b, n, [](T x, T y) { return x - y; });
      return each(out, a, b, n, [](T x, T y) { return x + y; });
    case Op::mul:
      return each(out, a, b, n, [](T x, T y) { return x * y; });
    case Op::neg:
      return each(out, a, n, [](T x) { return -x; });
    case Op::recip:
      return each(out, a, n, [](T x) { return 1 / x; });
    case Op::exp:
      return each(out, a, n, [](T x) { return v_exp(x); });
    case Op::log:
      return each(out, a, n, [](T x) { return v_log(x); });
    case Op::sqrt:
      return each(out, a, n, [](T x) { return c_sqrt(x); });
    case Op::pow:
      return apply_pow(out, a, instr.value, n);
    case Op::tanh:
      return each(out, a, n, [](T x) { return v_tanh(x); });
    case Op::sin:
      return each(out, a, n, [](T x) { return c_sin(x); });
    case Op::cos:
      return each(out, a, n, [](T x) { return c_cos(x); });
    case Op::erf:
      return each(out, a, n, [](T x) { return v_erf(x); });
    case Op::fma:
      PTMZ_VECTORISE
      for (int64_t i = 0; i < n; ++i) out[i] = c_fma(a[i], b[i], c[i]);
      return;
    case Op::select:
      PTMZ_VECTORISE
      for (int64_t i = 0; i < n; ++i) out[i] = a[i] != 0 ? b[i] : c[i];
      return;
    case Op::compare:
      return apply_compare(out, a, b, static_cast<Comparison>(instr.comparison), n);
    default:  // cast, stop_gradient
      return each(out, a, n, [](T x) { return x; });
  }
}

// Evaluates the operands and instructions of a launch, block by block, over the axes [first, rank), then [0, first).
template <typename T>
class Evaluator {
 public:
  Evaluator(const Call& call, int first, int64_t count)
      : call_(call), inputs_(call.launch.operand_count - 1), instrs_(call.instrs + call.launch.instr_begin) {
    const Launch& launch = call.launch;
    for (int r = 0; r < inputs_; ++r) {
      const Operand& operand = launch.operands[r + 1];
      View& view = views_[r];
      view.append_axes(launch, operand, first, launch.rank);
      view.append_axes(launch, operand, 0, first);
      view.finish();
      if (view.is_splat()) fill_block(buffer(r), splat(r), smaller(count, kBlock));
      registers_[r] = buffer(r);
    }
    for (int r = inputs_; r < launch.register_count; ++r) registers_[r] = buffer(r);
  }

  // For blocks of whole rows, n being a multiple of their length: what is the same in every row is read here, once.
  void keep_rows(int64_t row, int64_t n) {
    for (int r = 0; r < inputs_; ++r) {
      View& view = views_[r];
      if (!view.repeats(row) || call_.launch.operands[r + 1].is_index) continue;
      load_block(view, static_cast<const T*>(call_.pointers[r + 1]), buffer(r), n, kRegister);
      registers_[r] = buffer(r);
      view.rank = 0;
    }
  }

  void seek(int64_t index) {
    for (int r = 0; r < inputs_; ++r) views_[r].seek(index);
  }
  void skip(int64_t count) {
    for (int r = 0; r < inputs_; ++r) views_[r].skip(count);
  }

  // The result of the next n <= kBlock elements; it may lie in `out`, if that is given, in an operand or in a register.
  const T* next(int64_t n, T* out = nullptr) {
    const Launch& launch = call_.launch;
    const int result = launch.result_register;
    for (int r = 0; r < inputs_; ++r) load(r, n, launch.instr_count == 0 && r == result ? out : nullptr);
    return run(n, launch.instr_count, out);
  }

  // Whether the result is a product of two registers, and its factors over the next n elements: for an inner product
  // that wants them unrounded.
  static bool is_product(const Call& call) {
    const int count = call.launch.instr_count;
    return count > 0 && static_cast<Op>(call.instrs[call.launch.instr_begin + count - 1].op) == Op::mul;
  }
  struct Factors {
    const T *a, *b;
  };
  Factors next_factors(int64_t n) {
    const Instr& product = instrs_[call_.launch.instr_count - 1];
    for (int r = 0; r < inputs_; ++r) load(r, n, nullptr);
    run(n, call_.launch.instr_count - 1, nullptr);
    return {registers_[product.a], registers_[product.b]};
  }

 private:
  const T* run(int64_t n, int count, T* out) {
    const Launch& launch = call_.launch;
    const int result = launch.result_register;
    const T* last = registers_[result];
    for (int i = 0; i < count; ++i) {
      const Instr& instr = instrs_[i];
      const bool final = i + 1 == launch.instr_count && instr.out == result;
      T* to = final && out ? out : buffer(instr.out);
      apply<T>(instr, to, registers_[instr.a], registers_[instr.b], registers_[instr.c], n);
      if (final) last = to;
    }
    return last;
  }

  T* buffer(int r) const { return static_cast<T*>(call_.scratch) + r * kRegister; }

  T splat(int r) const {
    const Operand& operand = call_.launch.operands[r + 1];
    const void* pointer = call_.pointers[r + 1];
    if (operand.buffer < 0) return static_cast<T>(operand.value);
    if (operand.is_index) return static_cast<T>(*static_cast<const int32_t*>(pointer));
    return *static_cast<const T*>(pointer);
  }

  // Points register r at its next n elements: where they lie, or gathered into `out` or the register's buffer.
  void load(int r, int64_t n, T* out) {
    View& view = views_[r];
    if (view.is_splat()) return;
    T* to = out ? out : buffer(r);
    const int64_t room = out ? n : kRegister;
    const void* base = call_.pointers[r + 1];
    if (call_.launch.operands[r + 1].is_index) {
      load_block(view, static_cast<const int32_t*>(base), to, n, room);
    } else if (const T* direct = direct_block(view, static_cast<const T*>(base), n)) {
      registers_[r] = direct;
      return;
    } else {
      load_block(view, static_cast<const T*>(base), to, n, room);
    }
    registers_[r] = to;
  }

  const Call& call_;
  const int inputs_;
  const Instr* const instrs_;
  View views_[kMaxOperands];
  const T* registers_[256];
};

}  // namespace
}  // namespace ptmz::cpu::PTMZ_SIMD_LEVEL
