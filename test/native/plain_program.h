// The plain reading of an instruction list, element by element, and random lists over random operands.
#pragma once
#include "kernel_case.h"

namespace ptmz::test {

template <typename T>
double tolerance() {
  return sizeof(T) == 4 ? 2e-6 : 1e-14;
}

template <typename T>
T plain(const Instr& instr, T a, T b, T c) {
  switch (static_cast<Op>(instr.op)) {
    case Op::add:
      return a + b;
    case Op::mul:
      return a * b;
    case Op::neg:
      return -a;
    case Op::recip:
      return 1 / a;
    case Op::exp:
      return std::exp(a);
    case Op::log:
      return std::log(a);
    case Op::sqrt:
      return std::sqrt(a);
    case Op::pow:
      return std::pow(a, static_cast<T>(instr.value));
    case Op::tanh:
      return std::tanh(a);
    case Op::sin:
      return std::sin(a);
    case Op::cos:
      return std::cos(a);
    case Op::erf:
      return std::erf(a);
    case Op::select:
      return a != 0 ? b : c;
    case Op::compare:
      switch (static_cast<Comparison>(instr.comparison)) {
        case Comparison::lt:
          return a < b;
        case Comparison::le:
          return a <= b;
        case Comparison::gt:
          return a > b;
        case Comparison::ge:
          return a >= b;
        case Comparison::eq:
          return a == b;
        case Comparison::ne:
          return a != b;
      }
      return 0;
    default:
      return a;
  }
}

// A random instruction list that stays finite; comparisons only of what was loaded, so that rounding cannot flip them.
inline void random_program(KernelCase& test) {
  const int inputs = test.launch.operand_count - 1;
  const auto any = [&] { return static_cast<int>(pick(0, test.launch.register_count - 1)); };
  const auto input = [&] { return static_cast<int>(pick(0, inputs - 1)); };
  test.launch.result_register = input();
  for (int64_t left = pick(0, 8); left > 0; --left) {
    const int a = any();
    switch (pick(0, 6)) {
      case 0:
        test.instr(Op::add, a, any());
        break;
      case 1:
        test.instr(Op::mul, test.instr(Op::tanh, a), any());
        break;
      case 2:
        test.instr(Op::neg, a);
        break;
      case 3:
        test.instr(Op::exp, test.instr(Op::tanh, a));
        break;
      case 4:
        test.instr(Op::select, test.instr(Op::compare, input(), input(), 0, 0, static_cast<Comparison>(pick(0, 5))), a,
                   any());
        break;
      case 5:
        test.instr(Op::cos, a);
        break;
      default:
        test.instr(Op::cast, a);
    }
  }
}

// The result of a map (or the prologue of a reduction) at one index of the iteration space.
template <typename T>
T plain_program(const KernelCase& test, int64_t index, const Shape& shape) {
  std::vector<T> registers(test.launch.register_count);
  for (int r = 0; r + 1 < test.launch.operand_count; ++r) {
    const Operand& operand = test.launch.operands[r + 1];
    const int64_t offset = offset_of(index, shape, Strides(operand.strides, operand.strides + kLaunchRank));
    const void* data = test.pointers[r + 1];
    registers[r] = operand.buffer < 0 ? static_cast<T>(operand.value)
                   : operand.is_index ? static_cast<T>(static_cast<const int32_t*>(data)[offset])
                                      : static_cast<const T*>(data)[offset];
  }
  for (const Instr& instr : test.instrs)
    registers[instr.out] = plain(instr, registers[instr.a], registers[instr.b], registers[instr.c]);
  return registers[test.launch.result_register];
}

// Appends `count` inputs to a case: reals, a few indices and immediates, strided at random.
template <typename T>
struct RandomInputs {
  std::vector<std::vector<T>> reals;
  std::vector<std::vector<int32_t>> indices;

  RandomInputs(KernelCase& test, const Shape& shape, int count) : reals(count), indices(count) {
    for (int r = 0; r < count; ++r) {
      const Strides strides = random_strides(shape);
      const int64_t kind = pick(0, 9);
      if (kind == 0) {
        test.immediate(draw(-2, 2));
      } else if (kind == 1) {
        indices[r] = random_indices(extent(shape, strides), 5);
        test.add(indices[r], strides);
      } else {
        reals[r] = random_reals<T>(extent(shape, strides));
        test.add(reals[r], strides);
      }
    }
  }
};

}  // namespace ptmz::test
