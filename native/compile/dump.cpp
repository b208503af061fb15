// The text form of a program: one line per launch.
#include "compile/program.h"

namespace ptmz {

namespace {

std::string address(const Program& program, const Operand& o) {
  if (o.buffer < 0) return std::to_string(o.value);
  const std::string base = o.buffer == 0 ? "shared" : o.buffer == 1 ? "member" : program.slots[o.buffer - 2].name;
  return base + "+" + std::to_string(o.offset) + (o.varies ? "*" : "");
}

std::string line(const Program& program, const Launch& l) {
  std::string out = std::string(name(l.code)) + " [";
  for (int32_t d = 0; d < l.rank; ++d) out += (d == 0 ? "" : d == l.kept_rank ? "|" : ",") + std::to_string(l.shape[d]);
  out += "] " + address(program, l.operands[0]) + " <-";
  for (int32_t i = 1; i < l.operand_count; ++i) out += " " + address(program, l.operands[i]);
  out += program.instructions(l);
  return out + " blocks=" + std::to_string(l.blocks) + " %" + std::to_string(l.node) + "\n";
}

}  // namespace

std::string Program::instructions(const Launch& l) const {
  std::string text;
  for (const Instr* i = instrs.data() + l.instr_begin; i != instrs.data() + l.instr_begin + l.instr_count; ++i)
    text += (text.empty() ? "" : " ") + std::string(i->subtracts ? "sub" : info(static_cast<Op>(i->op)).name);
  return text.empty() ? text : " {" + text + "}";
}

std::string Program::dump() const {
  std::string out = precision == Precision::full ? "" : std::string("precision ") + ptmz::name(precision) + "\n";
  out += "shared " + std::to_string(shared.size()) + " launches, " + std::to_string(shared_bytes) + " bytes\n";
  for (const Launch& l : shared) out += "  " + line(*this, l);
  const std::string small = together > 0 ? ", the last " + std::to_string(together) + " as one" : "";
  out += "per member " + std::to_string(varying.size()) + " launches" + small + ", " + std::to_string(member_bytes) +
         " bytes\n";
  for (const Launch& l : varying) out += "  " + line(*this, l);
  return out;
}

}  // namespace ptmz
