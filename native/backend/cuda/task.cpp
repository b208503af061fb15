// From a launch to the task that its kernels are given.
#include "backend/cuda/task.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "backend/cuda/cut.h"

namespace ptmz::cuda {

Task task_of(const DeviceLaunch& given) {
  const Launch& l = *given.launch;
  Task t;
  std::memset(&t, 0, sizeof t);
  t.rank = l.rank;
  t.kept_rank = l.kept_rank;
  t.operand_count = l.operand_count;
  t.instr_count = l.instr_count;
  t.result_register = l.result_register;
  t.register_count = registers_of(l);
  std::copy(std::begin(l.shape), std::end(l.shape), t.shape);
  std::copy(std::begin(l.ints), std::end(l.ints), t.ints);
  std::copy(std::begin(l.reals), std::end(l.reals), t.reals);
  t.count = product(l.shape, 0, l.rank);
  t.kept = product(l.shape, 0, l.kept_rank);
  t.reduced = product(l.shape, l.kept_rank, l.rank);
  for (int i = 0; i < l.operand_count; ++i) {
    const Operand& from = l.operands[i];
    TaskOperand& to = t.operands[i];
    to.base = static_cast<char*>(given.pointers[i]);
    to.member_bytes = given.member_bytes[i];
    to.value = from.value;
    to.is_index = from.is_index;
    std::copy(std::begin(from.strides), std::end(from.strides), to.strides);
  }
  for (int i = 0; i < l.instr_count; ++i) t.instrs[i] = given.instrs[l.instr_begin + i];
  t.column = l.column;
  t.lanes = t.splits = 1;
  t.fault = given.fault;
  t.launch = given.number;
  return t;
}

int registers_of(const Launch& l) { return std::max(l.register_count, l.operand_count - 1); }

}  // namespace ptmz::cuda
