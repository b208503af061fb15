// Launch: one step of a program as plain data - no pointers, no closures - so that the same list can be walked by CPU
// threads, captured as a CUDA graph, printed and tested.
#pragma once
#include <cstdint>

namespace ptmz {

inline constexpr int kLaunchRank = 8;
inline constexpr int kMaxOperands = 16;
inline constexpr int kMaxInstrs = 48;  // of one launch; registers are 8 bit, and a longer chain gains nothing
inline constexpr int kLanesInt = 11;   // of the ints of what has images in lanes: their number, see compile/view.h
// Of the ints of conv2d_weight and layer_norm_backward_sums: partial results in the output, one for each part of the
// images or rows; 0: 1.
inline constexpr int kPartsInt = 12;
// Of a batch norm's ints: images of the last set, where these are fewer than its lanes; 0: it is full.
inline constexpr int kTailInt = 13;
// Of a convolution's ints: which of its images have the channels of a pixel side by side, the weights being as x is.
inline constexpr int kChannelsLastInt = 14;
inline constexpr int64_t kInputsLast = 1, kOutputsLast = 2;
// Of batch_norm_backward: the first input of its instructions, whose result is operand 1.
inline constexpr int kNormInputs = 7;

enum class DType : uint8_t { f32, f64, i32, u8 };

// What the factors of a contraction's products are rounded to; they are added up in the program's type whatever it is.
// tf32 keeps 10 bits behind the point and bf16 keeps 7, both with float32's exponents.
enum class Precision : int32_t { full, tf32, bf16 };
const char* name(Precision precision);

enum class LaunchCode : int32_t {
  map,         // out[i] = f(operands[i]): an instruction list over the iteration space
  reduce_sum,  // out[o] = sum over r of f(operands[o, r])
  reduce_max,
  copy_index,  // strided copy of an index value
  argmax,
  iota,
  random,
  to_lanes,    // (N,K) -> (sets,K,lanes), the last image again in the lanes that are left
  from_lanes,  // and back
  matmul,
  conv2d,
  conv2d_input,
  conv2d_weight,
  pool_argmax,
  gather,
  scatter_add,
  softmax_cross_entropy,
  softmax_cross_entropy_backward,
  batch_statistics,
  batch_norm,
  batch_norm_add,
  batch_norm_backward_sums,
  batch_norm_backward_input,
  // As batch_norm, batch_norm_add and batch_norm_backward_input, and the statistics or sums that these read are written
  // on the way; instructions of the last one compute the gradient that it is given (compile/norms.h).
  batch_norm_training,
  batch_norm_training_add,
  batch_norm_backward,
  layer_norm,
  layer_norm_backward_input,
  layer_norm_backward_sums,
  attention,
  attention_backward,
  count
};
const char* name(LaunchCode code);

// Where an operand lives: buffer 0 = shared arena, 1 = member arena, 2 + k = slot k; -1 = an immediate value.
// Offsets and strides are in elements of the operand's kind (real or index), arena offsets too.
struct Operand {
  int32_t buffer;
  bool varies;    // per member: the executor adds the member stride of the buffer
  bool is_index;  // int32 elements, else the program's real type
  int64_t offset;
  int64_t strides[kLaunchRank];
  double value;  // immediate
};

// One instruction of a map or of a reduction's prologue. Registers hold one block of elements each;
// registers 0..operands-2 are the loaded inputs (operand 1 + r).
struct Instr {
  uint8_t op;  // ir Op, elementwise ones only
  uint8_t comparison;
  uint8_t out, a, b, c;
  bool subtracts;  // add: a - b
  double value;    // exponent of pow
};

struct Launch {
  LaunchCode code;
  bool varies;          // runs once per member, else once per run
  bool beside;          // has no order with the launch before it, nor with what that is beside (compile/beside.h)
  Precision precision;  // of a contraction: the least that a backend has to keep to
  int32_t node;         // the graph node it computes, for dumps and errors
  // Iteration space. map: the output's. Reductions: kept axes first (kept_rank of them), then reduced ones.
  // Other codes: see the kernel.
  int32_t rank, kept_rank;
  int64_t shape[kLaunchRank];
  bool column;  // reductions: the innermost axis in memory is a kept one; batch norms: it is that of channels
  int32_t operand_count;
  Operand operands[kMaxOperands];  // operand 0 is the output
  uint32_t also_writes;            // the operands, as bits, that are outputs, too
  int64_t ints[20];
  double reals[2];
  int32_t instr_begin, instr_count, result_register, register_count;
  // Set by the backend: independent pieces of work, cut by shape alone, and scratch bytes for one of them. A device
  // needs scratch for each member, and tickets, with which blocks that share an output find out who is the last.
  int64_t blocks, scratch_bytes, tickets;
  int64_t scratch_before, tickets_before;  // of those that it is beside, for each member
};

// Of the iteration space.
int64_t element_count(const Launch& launch);
// Whether the operand's elements follow each other as those of the iteration space do.
bool is_dense(const Launch& launch, const Operand& operand);
// What the instructions of a matmul without batch axes compute, as a map over (M,N): its first input is its output,
// which holds the product by then. Operand i of it, from 2 on, is the product's i + 1.
Launch map_behind(const Launch& matmul);
// Multiply-adds count as two; only contractions have enough of them to be compared with a peak, others give 0.
double flops_of(const Launch& launch);
// The same for all launches, where an element of the others costs what 30 operations of a contraction do.
double work_of(const Launch& launch);

}  // namespace ptmz
