// Vector: P rows of n elements in memory, and the count of native bytes that all of them hold.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "backend/launch.h"

namespace ptmz {

int64_t dtype_bytes(DType dtype);
const char* dtype_name(DType dtype);

class Device;

// 64-byte aligned, zeroed memory of the host or of a device, counted. Throws OUT_OF_MEMORY with the bytes asked.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t bytes, const Device* device = nullptr);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  const Device* device_ = nullptr;  // null: the host
};
int64_t native_bytes();  // held by all Buffers of this process now

class Vector {
 public:
  Vector(DType dtype, int64_t rows, int64_t size, const Device* device = nullptr);
  // Null: the host. Else rows lie in the device's memory.
  const Device* device() const { return device_; }
  // Copies elements [offset, offset + count) of a row from and to the host, wherever the vector lies.
  void read(int64_t r, int64_t offset, int64_t count, void* to) const;
  void write(int64_t r, int64_t offset, int64_t count, const void* from);
  // Row `r` becomes a copy of a row of `from`, wherever both lie; they must be equally long and of one type.
  void copy_row(int64_t r, const Vector& from, int64_t row_of_from);
  DType dtype() const { return dtype_; }
  int64_t rows() const { return rows_; }
  int64_t size() const { return size_; }
  int64_t bytes() const { return buffer_.bytes(); }
  void* row(int64_t r) const { return static_cast<char*>(buffer_.data()) + r * size_ * dtype_bytes(dtype_); }
  // The same for the host to read and write; throws INTERNAL where the vector lies on a device.
  template <typename T>
  T* as(int64_t r = 0) const {
    if (device_ != nullptr) throw_not_on_host();
    return static_cast<T*>(row(r));
  }

  // All rows of a vector of the host in a device's memory. Copied once and kept as long as the vector lives, or until
  // somebody locks it for writing: for data that many jobs read.
  std::shared_ptr<const Buffer> copy_on(const Device& device) const;

  // Shared by readers or held by one writer; a job takes these before it starts. Throws BUSY.
  void lock_read(const char* what);
  void lock_write(const char* what);
  void unlock_read();
  void unlock_write();

 private:
  [[noreturn]] void throw_not_on_host() const;
  DType dtype_;
  int64_t rows_, size_;
  const Device* device_;
  Buffer buffer_;
  std::atomic<int> lock_{0};  // > 0: readers; -1: a writer
  mutable std::mutex copies_mutex_;
  mutable std::map<const Device*, std::shared_ptr<const Buffer>> copies_;
};

}  // namespace ptmz
