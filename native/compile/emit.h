// From a node to its launches: one emitter per kind of op.
#pragma once
#include "compile/emitter.h"

namespace ptmz {

// The elementwise group whose result is `id`.
void emit_map(Emitter& e, NodeId id);
void emit_reduce(Emitter& e, NodeId id);
void emit_matmul(Emitter& e, NodeId id);
// The launch of a matrix product that writes to `to`, not yet finished.
Launch matmul_launch(Emitter& e, NodeId id, const View& to);
void emit_conv(Emitter& e, NodeId id);
void emit_fused(Emitter& e, NodeId id);

}  // namespace ptmz
