// Counted, aligned memory and the reader/writer marks of vectors.
#include "runtime/vector.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "backend/device.h"
#include "ir/error.h"
#include "runtime/device_arena.h"

namespace ptmz {
namespace {

std::atomic<int64_t> held_bytes{0};
std::mutex transfer_mutex;  // a device has one stream for transfers

// Large memory in pages of 2 MB where the system has them on request: planes are many small pages apart, and a look-up
// of a page costs more than its data. What does not come is no error.
void ask_for_large_pages([[maybe_unused]] void* data, [[maybe_unused]] int64_t bytes) {
#if defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = 2 << 20;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(bytes)) / page * page;
  if (begin + 4 * page <= end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace

int64_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::u8:
      return 1;
    default:
      return 4;
  }
}

const char* dtype_name(DType dtype) {
  static const char* const names[] = {"float32", "float64", "int32", "uint8"};
  return names[static_cast<int>(dtype)];
}

Buffer::Buffer(int64_t bytes, const Device* device) : bytes_(bytes), device_(device) {
  if (bytes == 0) return;
  if (device != nullptr) {
    data_ = device->allocate(bytes);
    if (data_ == nullptr && DeviceArena::release_idle(*device) > 0) data_ = device->allocate(bytes);
    if (data_ == nullptr)
      throw Error("OUT_OF_MEMORY", std::string(device->name()) + ": could not allocate " + std::to_string(bytes) +
                                       " bytes, " + std::to_string(device->free_bytes()) + " are free");
    try {
      const std::lock_guard lock(transfer_mutex);
      device->transfers().zero(data_, bytes);
      device->transfers().wait();
    } catch (...) {
      device->release(data_);  // no destructor runs
      throw;
    }
    held_bytes += bytes;
    return;
  }
  // calloc hands out fresh pages that are zero already; the extra 64 bytes hold the way back to its own pointer.
  void* raw = bytes > 0 && bytes < (int64_t{1} << 48) ? std::calloc(static_cast<size_t>(bytes) + 128, 1) : nullptr;
  if (raw == nullptr) {
    bytes_ = 0;
    throw Error("OUT_OF_MEMORY", "could not allocate " + std::to_string(bytes) + " bytes of memory");
  }
  ask_for_large_pages(raw, bytes);
  const uintptr_t aligned = (reinterpret_cast<uintptr_t>(raw) + 64 + 63) / 64 * 64;
  std::memcpy(reinterpret_cast<char*>(aligned) - sizeof raw, &raw, sizeof raw);
  data_ = reinterpret_cast<void*>(aligned);
  held_bytes += bytes;
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  held_bytes -= bytes_;
  if (device_ != nullptr) {
    device_->release(data_);
    return;
  }
  void* raw;
  std::memcpy(&raw, static_cast<char*>(data_) - sizeof raw, sizeof raw);
  std::free(raw);
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(device_, other.device_);
  return *this;
}

int64_t native_bytes() { return held_bytes; }

Vector::Vector(DType dtype, int64_t rows, int64_t size, const Device* device)
    : dtype_(dtype), rows_(rows), size_(size), device_(device) {
  int64_t bytes;
  if (rows < 1 || size < 0)
    throw Error("INVALID_ARGUMENT",
                "vector: expected rows >= 1 and size >= 0, got " + std::to_string(rows) + " x " + std::to_string(size));
  if (__builtin_mul_overflow(rows, size, &bytes) || __builtin_mul_overflow(bytes, dtype_bytes(dtype), &bytes))
    throw Error("OUT_OF_MEMORY",
                "vector: " + std::to_string(rows) + " x " + std::to_string(size) + " elements do not fit memory");
  buffer_ = Buffer(bytes, device);
}

void Vector::throw_not_on_host() const {
  throw Error("INTERNAL", std::string("the host was to read a vector on ") + device_->name());
}

void Vector::read(int64_t r, int64_t offset, int64_t count, void* to) const {
  const int64_t element = dtype_bytes(dtype_);
  const char* from = static_cast<const char*>(row(r)) + offset * element;
  if (device_ != nullptr) {
    const std::lock_guard lock(transfer_mutex);
    device_->transfers().read(to, from, count * element);
  } else if (count > 0) {
    std::memcpy(to, from, static_cast<size_t>(count * element));
  }
}

void Vector::write(int64_t r, int64_t offset, int64_t count, const void* from) {
  const int64_t element = dtype_bytes(dtype_);
  char* to = static_cast<char*>(row(r)) + offset * element;
  if (device_ != nullptr) {
    const std::lock_guard lock(transfer_mutex);
    device_->transfers().write(to, from, count * element);
  } else if (count > 0) {
    std::memcpy(to, from, static_cast<size_t>(count * element));
  }
}

void Vector::copy_row(int64_t r, const Vector& from, int64_t row_of_from) {
  if (from.device_ == nullptr) return write(r, 0, size_, from.row(row_of_from));
  if (device_ == nullptr) return from.read(row_of_from, 0, size_, row(r));
  const std::lock_guard lock(transfer_mutex);
  device_->transfers().copy(row(r), from.row(row_of_from), size_ * dtype_bytes(dtype_));
  device_->transfers().wait();
}

std::shared_ptr<const Buffer> Vector::copy_on(const Device& device) const {
  const std::lock_guard lock(copies_mutex_);
  std::shared_ptr<const Buffer>& copy = copies_[&device];
  if (copy == nullptr) {
    auto made = std::make_shared<Buffer>(bytes(), &device);
    const std::lock_guard transfer(transfer_mutex);
    device.transfers().write(made->data(), row(0), bytes());
    copy = std::move(made);
  }
  return copy;
}

void Vector::lock_read(const char* what) {
  int held = lock_.load();
  do {
    if (held < 0) throw Error("BUSY", std::string(what) + ": a running job writes this vector; wait for its promise");
  } while (!lock_.compare_exchange_weak(held, held + 1));
}

void Vector::lock_write(const char* what) {
  int expected = 0;
  if (!lock_.compare_exchange_strong(expected, -1))
    throw Error("BUSY", std::string(what) + ": a running job uses this vector; wait for its promise");
  const std::lock_guard lock(copies_mutex_);
  copies_.clear();
}

void Vector::unlock_read() { --lock_; }
void Vector::unlock_write() { lock_ = 0; }

}  // namespace ptmz
