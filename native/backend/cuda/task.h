// Task: all that one kernel is given. It is a launch with addresses, and with the cut that enqueue.cpp chose for it.
#pragma once
#include <cstdint>

#include "backend/device_launch.h"

namespace ptmz::cuda {

struct TaskOperand {
  char* base;            // element 0 of the first member; null: the immediate `value`
  int64_t member_bytes;  // from one member to the next; 0: shared
  double value;
  int64_t strides[kLaunchRank];  // in elements
  bool is_index;
};

struct Task {
  int32_t rank, kept_rank, operand_count;
  int32_t instr_count, result_register, register_count;
  int64_t shape[kLaunchRank];
  int64_t count;          // elements of the iteration space
  int64_t kept;           // reductions: outputs
  int64_t reduced;        // and elements of each
  int64_t rows, columns;  // contractions: of one item's output
  TaskOperand operands[kMaxOperands];
  int64_t ints[20];
  double reals[2];
  Instr instrs[kMaxInstrs];

  // The cut: how a kernel's blocks share the work. It depends on shapes alone, never on members or the device, and so
  // do the bits of a result.
  bool column;         // reductions: neighbouring threads take neighbouring outputs, else neighbouring elements
  int32_t lanes;       // threads that work on one output together; a power of two
  int32_t splits;      // blocks that share one output and leave partial results
  int64_t split_size;  // elements of an output that one of them takes

  char* partials;                 // of all splits, in scratch
  int64_t partials_member_bytes;  // from one member to the next
  uint32_t* tickets;              // for splits.h: of all members, so many for each
  int64_t member_tickets;
  DeviceFault* fault;
  int32_t launch;  // for faults
};
static_assert(sizeof(Task) <= 4096, "kernel parameters are limited to 4 KB");

// A launch with its addresses, not cut yet.
Task task_of(const DeviceLaunch& launch);
// What a thread keeps of one element.
int registers_of(const Launch& launch);

}  // namespace ptmz::cuda
