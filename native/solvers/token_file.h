// TokenFile: 16-bit tokens without a header, read window by window. The file is not mapped: one that is cut short while
// it is read is an error, not a signal; the system keeps in memory what is used.
#pragma once
#include <cstdint>
#include <string>

namespace ptmz {

class TokenFile {
 public:
  // Throws IO_ERROR. Tokens are below `vocabulary`.
  TokenFile(const std::string& path, int64_t vocabulary);
  ~TokenFile();
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;
  int64_t count() const { return count_; }
  // Tokens [offset, offset + count) as int32. From any thread. Throws IO_ERROR, and INDEX_OUT_OF_RANGE for a token that
  // is not in the vocabulary.
  void read(int64_t offset, int64_t count, int32_t* to) const;

 private:
  std::string path_;
  int64_t vocabulary_, count_ = 0;
  int file_;
};

}  // namespace ptmz
