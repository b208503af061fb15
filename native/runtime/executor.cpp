// Walks a program's launch lists: shared launches once, then member by member, with threads over members first and
// over a launch's blocks where there are fewer members than threads.
#include "runtime/executor.h"

#include <algorithm>
#include <string>

#include "runtime/device_executor.h"
#include "runtime/memory.h"
#include "runtime/profile.h"

namespace ptmz {
namespace {

// Work of a mean launch below which threads do not share launches: what these read and write has to travel between the
// cores. All launches of a program are shared or none, so that a thread finds its own part of what it wrote before.
constexpr double kLeastSharedWork = 6e5;

bool shares_launches(const Program& program) {
  double work = 0;
  for (const auto* launches : {&program.shared, &program.varying})
    for (const Launch& l : *launches) work += work_of(l);
  return work >= kLeastSharedWork * static_cast<double>(program.shared.size() + program.varying.size());
}

struct Walk {
  const Program& program;
  const std::vector<Vector*>& vectors;
  const RunOptions& options;
  char* shared_arena;
  char* member_arenas;
  char* scratch;

  void* address(const Operand& o, int64_t member, int arena) const {
    if (o.buffer < 0) return nullptr;
    const int64_t element = o.is_index ? 4 : dtype_bytes(program.real);
    char* base;
    if (o.buffer == 0) {
      base = shared_arena;
    } else if (o.buffer == 1) {
      base = member_arenas + arena * program.member_bytes;
    } else {
      Vector& v = *vectors[o.buffer - 2];
      base = static_cast<char*>(v.row(o.varies ? member : 0));
    }
    return base + o.offset * element;
  }

  // One launch on `threads` threads whose scratch begins at `first_scratch`.
  void launch(const Launch& l, int64_t member, int arena, int threads, int first_scratch) const {
    if (options.stop != nullptr && *options.stop) throw Error("ABORTED", "the run was aborted");
    const ProfiledLaunch profiled(program, l);
    void* pointers[kMaxOperands];
    for (int32_t i = 0; i < l.operand_count; ++i) pointers[i] = address(l.operands[i], member, arena);
    const auto part = [&](int64_t begin, int64_t end, int worker) {
      KernelFault fault;
      void* own = scratch + (first_scratch + worker) * program.scratch_bytes;
      program.backend->run(l, program.instrs.data(), program.real, pointers, begin, end, own, fault);
      if (fault.limit != 0)
        throw Error("INDEX_OUT_OF_RANGE", std::string(name(l.code)) + " (node %" + std::to_string(l.node) +
                                              "), member " + std::to_string(member) + ": expected an index in [0, " +
                                              std::to_string(fault.limit) + "), got " + std::to_string(fault.value));
    };
    if (threads <= 1 || l.blocks <= 1) return part(0, l.blocks, 0);
    // A few pieces per thread even out the load without changing the blocks themselves.
    const int64_t pieces = std::min<int64_t>(l.blocks, int64_t{4} * threads);
    parallel_for(threads, pieces,
                 [&](int64_t i, int worker) { part(l.blocks * i / pieces, l.blocks * (i + 1) / pieces, worker); });
  }

  void member(int64_t m, int arena, int threads, int first_scratch) const {
    for (const Launch& l : program.varying) launch(l, m, arena, threads, first_scratch);
  }
};

void check(const Program& program, const std::vector<Vector*>& vectors, int64_t members, int64_t held) {
  if (members < 1) throw Error("INVALID_ARGUMENT", "members: expected at least 1, got " + std::to_string(members));
  for (size_t i = 0; i < program.slots.size(); ++i) {
    const ProgramSlot& slot = program.slots[i];
    if (!slot.read && !slot.written) continue;
    const std::string what = "vector '" + slot.name + "'";
    if (i >= vectors.size() || vectors[i] == nullptr)
      throw Error("INVALID_ARGUMENT", what + ": expected one, got none");
    const Vector& v = *vectors[i];
    const DType dtype = slot.kind == Kind::index ? DType::i32 : program.real;
    const int64_t rows = slot.varies ? held : 1;
    if (v.dtype() != dtype)
      throw Error("INVALID_ARGUMENT", what + ": expected " + dtype_name(dtype) + ", got " + dtype_name(v.dtype()));
    if (v.rows() != rows || v.size() != slot.size)
      throw Error("SHAPE_MISMATCH", what + ": expected " + std::to_string(rows) + " rows of " +
                                        std::to_string(slot.size) + " elements, got " + std::to_string(v.rows()) +
                                        " of " + std::to_string(v.size()));
    if (v.device() != program.backend->device()) {
      const auto place = [](const Device* device) { return device == nullptr ? "cpu" : device->name(); };
      throw Error("INVALID_ARGUMENT", what + ": expected one on the program's device " +
                                          place(program.backend->device()) + ", got one on " + place(v.device()));
    }
    for (size_t j = 0; j < i; ++j)
      if (j < vectors.size() && vectors[j] == vectors[i] && (slot.written || program.slots[j].written))
        throw Error("INVALID_ARGUMENT",
                    what + ": is also '" + program.slots[j].name + "'; an output needs a vector of its own");
  }
}

}  // namespace

Executor::Executor(std::shared_ptr<const Program> program)
    : program_(std::move(program)), shares_(shares_launches(*program_)) {}
Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;

RunStats Executor::run(const std::vector<Vector*>& vectors, const RunOptions& options) {
  const Program& program = *program_;
  check(program, vectors, options.members, std::max(options.rows, options.members));
  if (program.backend->device()) return on_device().run(vectors, options);
  const int threads = options.threads > 0 ? options.threads : hardware_threads();

  // S + chunk * V + scratch: as many members in flight as there are threads, fewer where memory is short. What is held
  // already need not be asked for: that reads files of the system.
  const int64_t fixed = program.shared_bytes + threads * program.scratch_bytes;
  int64_t chunk = program.varying.empty() ? 0 : std::min<int64_t>(options.members, threads);
  const auto holds = [&] {
    return options.memory_limit == 0 && shared_arena_.bytes() >= program.shared_bytes &&
           member_arenas_.bytes() >= chunk * program.member_bytes &&
           scratch_.bytes() >= threads * program.scratch_bytes;
  };
  if (!holds()) {
    const int64_t limit = options.memory_limit > 0 ? options.memory_limit : available_memory() + held_bytes();
    while (chunk > 1 && fixed + chunk * program.member_bytes > limit) --chunk;
    const int64_t bytes = fixed + chunk * program.member_bytes;
    if (bytes > limit)
      throw Error("OUT_OF_MEMORY", "one member needs " + std::to_string(bytes) + " bytes, " + std::to_string(limit) +
                                       " are free; use a smaller batch or raise memoryLimit");
  }
  const auto reserve = [](Buffer& buffer, int64_t size) {
    if (buffer.bytes() >= size) return;
    buffer = Buffer();  // release first: old and new need not fit together
    buffer = Buffer(size);
  };
  reserve(shared_arena_, program.shared_bytes);
  reserve(member_arenas_, chunk * program.member_bytes);
  reserve(scratch_, threads * program.scratch_bytes);

  const Walk walk{program,
                  vectors,
                  options,
                  static_cast<char*>(shared_arena_.data()),
                  static_cast<char*>(member_arenas_.data()),
                  static_cast<char*>(scratch_.data())};
  for (const Launch& l : program.shared) walk.launch(l, 0, 0, shares_ ? threads : 1, 0);
  if (chunk > 0) {
    // Whole waves of `chunk` members side by side; what is left over shares the threads among fewer members.
    const int64_t members = options.members;
    for (int64_t first = 0; first < members;) {
      const int64_t left = members - first;
      const bool waves = left >= chunk;
      const int64_t count = waves ? left / chunk * chunk : left;
      const int side_by_side = static_cast<int>(std::min(count, chunk));
      const int inner = shares_ ? std::max(1, threads / side_by_side) : 1;
      parallel_for(side_by_side, count,
                   [&](int64_t i, int worker) { walk.member(first + i, worker, inner, worker * inner); });
      first += count;
    }
  }
  RunStats stats;
  stats.shared_launches = static_cast<int64_t>(program.shared.size());
  stats.varying_launches = chunk > 0 ? static_cast<int64_t>(program.varying.size()) * options.members : 0;
  stats.chunks = chunk > 0 ? (options.members + chunk - 1) / chunk : 0;
  stats.chunk_members = chunk;
  stats.arena_bytes = held_bytes();
  return stats;
}

DeviceExecutor& Executor::on_device() {
  if (!on_device_) on_device_ = std::make_unique<DeviceExecutor>(*program_, *program_->backend->device());
  return *on_device_;
}

int64_t Executor::reserve(const RunOptions& options, DeviceStream& stream) {
  return on_device().reserve(options, stream);
}

void Executor::enqueue(const std::vector<Vector*>& vectors, const RunOptions& options, DeviceStream& stream,
                       DeviceFault* fault) {
  check(*program_, vectors, options.members, std::max(options.rows, options.members));
  on_device().enqueue(vectors, options, stream, fault);
}

void Executor::check_fault(const DeviceFault& fault) const { ptmz::check_fault(*program_, fault); }

int64_t Executor::held_bytes() const { return shared_arena_.bytes() + member_arenas_.bytes() + scratch_.bytes(); }

}  // namespace ptmz
