// The text form of a program: one line per launch.
#include <algorithm>

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
  for (int32_t i = 1; i < l.operand_count; ++i)
    out += " " + address(program, l.operands[i]) + (l.also_writes >> i & 1 ? "=" : "");
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
  const auto print = [&](const char* title, const std::vector<Launch>& list, int64_t bytes) {
    const auto beside = std::count_if(list.begin(), list.end(), [](const Launch& l) { return l.beside; });
    out += title + std::to_string(list.size()) + " launches" +
           (beside > 0 ? " (+: " + std::to_string(beside) + " beside the one before)" : "") + ", " +
           std::to_string(bytes) + " bytes\n";
    for (const Launch& l : list) out += (l.beside ? "+ " : "  ") + line(*this, l);
  };
  print("shared ", shared, shared_bytes);
  print("per member ", varying, member_bytes);
  return out;
}

}  // namespace ptmz
