// Conversion and checking of what the solvers are given.
#include "solver_arguments.h"

#include <cmath>

namespace ptmz {

namespace {

int to_slot(Napi::Object slots, const char* key, int64_t count, const std::string& name) {
  const Napi::Value value = slots.Get(key);
  if (value.IsUndefined()) return -1;
  return static_cast<int>(to_int(value, name + "." + key, 0, count - 1));
}

// [low, high].
Range to_range(Napi::Value value, const std::string& name) {
  const std::vector<double> ends = to_reals(value, name);
  if (ends.size() != 2) throw Error("INVALID_ARGUMENT", name + ": expected two numbers");
  return {ends[0], ends[1]};
}

// { brightness, contrast, saturation, hue, randAugment, erase }, or nothing; `fill`: what erasing leaves.
RandomOps to_random_ops(Napi::Value value, const std::string& name, std::vector<double>& fill) {
  RandomOps ops;
  if (value.IsNull() || value.IsUndefined()) return ops;
  const Napi::Object object = to_object(value, name);
  const char* const factors[] = {"brightness", "contrast", "saturation"};
  for (int i = 0; i < 3; ++i) ops.jitter.factors[i] = to_range(object.Get(factors[i]), name + "." + factors[i]);
  ops.jitter.hue = to_range(object.Get("hue"), name + ".hue");
  const Napi::Object rand = to_object(object.Get("randAugment"), name + ".randAugment");
  ops.rand_augment.operations = to_int(rand.Get("operations"), name + ".operations", 0, 1 << 16);
  ops.rand_augment.magnitude = to_int(rand.Get("magnitude"), name + ".magnitude", 0, INT32_MAX);
  ops.rand_augment.bins = to_int(rand.Get("bins"), name + ".bins", 2, INT32_MAX);
  const Napi::Object erase = to_object(object.Get("erase"), name + ".erase");
  ops.erasing.probability = to_finite(erase.Get("probability"), name + ".probability");
  ops.erasing.area = to_range(erase.Get("scale"), name + ".scale");
  const Range ratio = to_range(erase.Get("ratio"), name + ".ratio");
  ops.erasing.log_ratio = {std::log(ratio.low), std::log(ratio.high)};
  ops.erasing.noise = to_bool(erase.Get("noise"), name + ".noise");
  fill = to_reals(erase.Get("value"), name + ".value");
  return ops;
}

// { path, vocabulary }, or nothing.
std::shared_ptr<const TokenFile> to_token_file(Napi::Value value, const std::string& name) {
  if (value.IsNull() || value.IsUndefined()) return nullptr;
  const Napi::Object object = to_object(value, name);
  const int64_t vocabulary = to_int(object.Get("vocabulary"), name + ".vocabulary", 1, INT32_MAX);
  return std::make_shared<TokenFile>(to_text(object.Get("path"), name + ".path"), vocabulary);
}

}  // namespace

BatchProgram to_batch_program(Napi::Value value, const std::string& name, Borrowed& borrowed) {
  BatchProgram result;
  if (value.IsNull()) return result;
  const Napi::Object object = to_object(value, name);
  result.batch = to_int(object.Get("batch"), name + ".batch", 1);
  result.executor = borrowed.executor(object.Get("program"), name + ".program");
  const std::vector<ProgramSlot>& slots = result.executor->program().slots;
  size_t slot = 0;
  result.vectors = to_list(object.Get("vectors"), name + ".vectors", [&](Napi::Value v, const std::string& n) {
    const bool write = slot < slots.size() && slots[slot].written;
    const std::string what = slot < slots.size() ? n + " (" + slots[slot].name + ")" : n;
    ++slot;
    return borrowed.vector(v, what, write);
  });
  const int64_t count = static_cast<int64_t>(slots.size());
  if (static_cast<int64_t>(result.vectors.size()) != count) {
    throw Error("INVALID_ARGUMENT", name + ".vectors: expected " + std::to_string(count) + " entries, got " +
                                        std::to_string(result.vectors.size()));
  }
  const Napi::Object numbers = to_object(object.Get("slots"), name + ".slots");
  const std::pair<const char*, int BatchProgram::*> members[] = {{"x", &BatchProgram::x},
                                                                 {"y", &BatchProgram::y},
                                                                 {"key", &BatchProgram::key},
                                                                 {"loss", &BatchProgram::loss},
                                                                 {"correct", &BatchProgram::correct},
                                                                 {"grad", &BatchProgram::grad},
                                                                 {"nextBuffers", &BatchProgram::next_buffers},
                                                                 {"params", &BatchProgram::params},
                                                                 {"buffers", &BatchProgram::buffers},
                                                                 {"v", &BatchProgram::v},
                                                                 {"hv", &BatchProgram::hv}};
  for (const auto& [key, member] : members) result.*member = to_slot(numbers, key, count, name + ".slots");
  for (int s : {result.x, result.y, result.key}) borrowed.mark_written(result.at(s));
  return result;
}

Dataset to_dataset(Napi::Value value, const std::string& name, Borrowed& borrowed) {
  Dataset data;
  if (value.IsNull()) return data;
  const Napi::Object object = to_object(value, name);
  data.count = to_int(object.Get("count"), name + ".count", 1, INT32_MAX);
  data.channels = to_int(object.Get("channels"), name + ".channels", 1, INT32_MAX);
  data.plane = to_int(object.Get("plane"), name + ".plane", 1, INT32_MAX);
  data.mean = to_reals(object.Get("mean"), name + ".mean");
  data.deviation = to_reals(object.Get("deviation"), name + ".deviation");
  data.window = to_int(object.Get("window"), name + ".window", 0, INT32_MAX);
  data.stride = to_int(object.Get("stride"), name + ".stride", 1, INT32_MAX);
  data.resident = borrowed.vector(object.Get("samples"), name + ".samples", false);
  data.file = to_token_file(object.Get("file"), name + ".file");
  data.ops = to_random_ops(object.Get("ops"), name + ".ops", data.fill);
  data.labels = borrowed.vector(object.Get("labels"), name + ".labels", false);
  return data;
}

std::vector<ParameterRange> to_ranges(Napi::Value value) {
  const std::vector<int64_t> flat = to_ints(value, "ranges");
  if (flat.size() % 3 != 0) throw Error("INVALID_ARGUMENT", "ranges: expected three numbers per range");
  std::vector<ParameterRange> ranges;
  for (size_t i = 0; i < flat.size(); i += 3) ranges.push_back({flat[i], flat[i + 1], flat[i + 2] != 0});
  return ranges;
}

std::vector<uint64_t> to_seeds(Napi::Value value) {
  const std::vector<int64_t> seeds = to_ints(value, "seeds");
  return {seeds.begin(), seeds.end()};
}

RunOptions to_run_options(Napi::Object object) {
  RunOptions run;
  run.threads = static_cast<int>(to_int(object.Get("threads"), "threads", 0, 4096));
  run.memory_limit = to_int(object.Get("memoryLimit"), "memoryLimit");
  return run;
}

Vector* required(Vector* vector, const char* name) {
  if (!vector) throw Error("INVALID_ARGUMENT", std::string(name) + ": expected a vector");
  return vector;
}

}  // namespace ptmz
