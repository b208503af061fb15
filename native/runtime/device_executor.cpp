// Chooses the chunk, holds the buffers, and issues, records or replays the launches.
#include "runtime/device_executor.h"

#include <algorithm>
#include <string>

namespace ptmz {
namespace {

// The most of all launches, with what those have that it is beside.
int64_t most(const std::vector<Launch>& list, int64_t Launch::*what, int64_t Launch::*before) {
  int64_t most = 0;
  for (const Launch& l : list) most = std::max(most, l.*before + l.*what);
  return most;
}
int64_t most_scratch(const std::vector<Launch>& list) {
  return most(list, &Launch::scratch_bytes, &Launch::scratch_before);
}
int64_t most_tickets(const std::vector<Launch>& list) { return most(list, &Launch::tickets, &Launch::tickets_before); }

}  // namespace

DeviceExecutor::DeviceExecutor(const Program& program, const Device& device)
    : program_(program),
      device_(device),
      stream_(device.open_stream()),
      fault_(sizeof(DeviceFault), &device),
      arena_(DeviceArena::of(device)),
      shared_scratch_(most_scratch(program.shared)),
      member_scratch_(most_scratch(program.varying)),
      shared_tickets_(most_tickets(program.shared)),
      member_tickets_(most_tickets(program.varying)),
      replay_(*stream_) {}

int64_t DeviceExecutor::bytes_for(int64_t chunk) const {
  return program_.shared_bytes + chunk * program_.member_bytes + std::max(shared_scratch_, chunk * member_scratch_);
}

// As many members as fit into the arena, which grows where it may.
bool DeviceExecutor::find_chunk(const RunOptions& options, DeviceStream& stream) {
  int64_t chunk = program_.varying.empty() ? 0 : std::min(options.members, kMaxDeviceMembers);
  const bool fits = options.memory_limit == 0 && bytes_for(chunk) <= arena_->bytes();
  const int64_t most = fits ? arena_->bytes() : limit(options);
  while (chunk > 1 && bytes_for(chunk) > most) chunk = std::min(chunk - 1, std::max<int64_t>(1, chunk * 7 / 8));
  for (;; chunk /= 2) {
    if (bytes_for(chunk) <= most) {
      try {
        if (bytes_for(chunk) > arena_->bytes()) stream.wait();  // for those that work there
        arena_->grow(bytes_for(chunk));
        take_tickets(chunk, stream);
        choice_ = {options.members, options.memory_limit, arena_->generation()};
        chunk_ = chunk;
        return true;
      } catch (const Error& error) {  // free memory may lie in pieces, or another process took it
        if (error.code() != "OUT_OF_MEMORY") throw;
      }
    }
    if (chunk <= 1) return false;
  }
}

// Kernels leave them as they found them.
void DeviceExecutor::take_tickets(int64_t chunk, DeviceStream& stream) {
  const int64_t bytes = std::max(shared_tickets_, chunk * member_tickets_) * static_cast<int64_t>(sizeof(uint32_t));
  if (bytes <= tickets_.bytes()) return;
  tickets_ = Buffer(bytes, &device_);
  stream.zero(tickets_.data(), bytes);
}

int64_t DeviceExecutor::limit(const RunOptions& options) const {
  return options.memory_limit > 0 ? options.memory_limit : arena_->bytes() + device_.free_bytes();
}

int64_t DeviceExecutor::choose_chunk(const RunOptions& options, DeviceStream& stream) {
  arena_ = DeviceArena::of(device_);
  const Choice request{options.members, options.memory_limit, arena_->generation()};
  if (choice_ == request && bytes_for(chunk_) <= arena_->bytes()) return chunk_;
  while (!find_chunk(options, stream)) {
    stream.wait();
    if (options.memory_limit == 0 && arena_->wait_for_memory()) continue;
    const int64_t least = program_.varying.empty() ? 0 : 1;
    throw Error("OUT_OF_MEMORY", std::string(device_.name()) + ": " + (least == 1 ? "one member" : "the program") +
                                     " needs " + std::to_string(bytes_for(least)) + " bytes, " +
                                     std::to_string(limit(options)) +
                                     " are free; use a smaller batch or raise memoryLimit");
  }
  return chunk_;
}

void DeviceExecutor::issue(const std::vector<Launch>& list, const std::vector<Vector*>& vectors, Chunk chunk,
                           const RunOptions& options, Target target) {
  const int64_t element = dtype_bytes(program_.real);
  std::vector<DeviceLaunch> group;  // beside each other
  DeviceLaunch d{};
  d.instrs = program_.instrs.data();
  d.real = program_.real;
  char* const members = arena_->data() + program_.shared_bytes;
  char* const scratch = members + chunk_ * program_.member_bytes;
  d.fault = target.fault;
  for (const Launch& l : list) {
    if (options.stop != nullptr && *options.stop) throw Error("ABORTED", "the run was aborted");
    d.launch = &l;
    // Shared launches count first.
    d.number = static_cast<int32_t>(&l - list.data() + (&list == &program_.varying ? program_.shared.size() : 0));
    d.members = l.varies ? chunk.count : 1;
    d.scratch = scratch + d.members * l.scratch_before;
    d.tickets = static_cast<uint32_t*>(tickets_.data()) + d.members * l.tickets_before;
    for (int32_t i = 0; i < l.operand_count; ++i) {
      const Operand& o = l.operands[i];
      d.pointers[i] = nullptr;
      d.member_bytes[i] = 0;
      if (o.buffer < 0) continue;
      char* base = static_cast<char*>(o.buffer == 0   ? arena_->data()
                                      : o.buffer == 1 ? members
                                                      : vectors[o.buffer - 2]->row(o.varies ? chunk.first : 0));
      if (o.varies)
        d.member_bytes[i] = o.buffer == 1 ? program_.member_bytes
                                          : vectors[o.buffer - 2]->size() * dtype_bytes(vectors[o.buffer - 2]->dtype());
      d.pointers[i] = base + o.offset * (o.is_index ? 4 : element);
    }
    group.push_back(d);
    if (&l != &list.back() && (&l)[1].beside) continue;
    group.size() == 1 ? target.stream.launch(d) : target.stream.launch_beside(group);
    group.clear();
  }
}

// Nothing may still use the vectors when a run has failed.
void DeviceExecutor::finish_what_was_issued() noexcept {
  try {
    stream_->wait();
  } catch (const std::exception&) {  // the first error is the one to tell
  }
}

void check_fault(const Program& program, const DeviceFault& fault) {
  if (fault.launch == 0) return;
  const size_t at = static_cast<size_t>(fault.launch - 1), shared = program.shared.size();
  const Launch& l = at < shared ? program.shared[at] : program.varying[at - shared];
  throw Error("INDEX_OUT_OF_RANGE", std::string(name(l.code)) + " (node %" + std::to_string(l.node) + "), member " +
                                        std::to_string(fault.member) + ": expected an index in [0, " +
                                        std::to_string(fault.limit) + "), got " + std::to_string(fault.value));
}

void DeviceExecutor::report_fault() {
  DeviceFault fault;
  stream_->read(&fault, fault_.data(), sizeof fault);
  check_fault(program_, fault);
}

int64_t DeviceExecutor::reserve(const RunOptions& options, DeviceStream& stream) {
  choose_chunk(options, stream);
  return arena_->generation();
}

void DeviceExecutor::enqueue(const std::vector<Vector*>& vectors, const RunOptions& options, DeviceStream& stream,
                             DeviceFault* fault) {
  const int64_t chunk = choose_chunk(options, stream), members = program_.varying.empty() ? 0 : options.members;
  issue(program_.shared, vectors, {0, 1}, options, {stream, fault});
  for (int64_t first = 0; first < members; first += chunk)
    issue(program_.varying, vectors, {first, std::min(chunk, members - first)}, options, {stream, fault});
}

RunStats DeviceExecutor::run(const std::vector<Vector*>& vectors, const RunOptions& options) {
  const int64_t generation = reserve(options, *stream_), members = program_.varying.empty() ? 0 : options.members;
  const auto fault = static_cast<DeviceFault*>(fault_.data());
  Replay::Key key{key_of(generation), key_of(members), key_of(chunk_)};
  for (const Vector* v : vectors) key.push_back(v == nullptr ? nullptr : v->row(0));
  if (options.stop != nullptr && *options.stop) throw Error("ABORTED", "the run was aborted");
  stream_->zero(fault, sizeof(DeviceFault));
  try {
    replay_.run(key, [&] { enqueue(vectors, options, *stream_, fault); });
  } catch (...) {
    finish_what_was_issued();
    throw;
  }
  report_fault();

  RunStats stats;
  stats.chunks = members > 0 ? (members + chunk_ - 1) / chunk_ : 0;
  stats.shared_launches = static_cast<int64_t>(program_.shared.size());
  stats.varying_launches = static_cast<int64_t>(program_.varying.size()) * stats.chunks;
  stats.chunk_members = chunk_;
  stats.arena_bytes = bytes_for(chunk_);
  return stats;
}

}  // namespace ptmz
