// Reading of tokens at places of a file, by as many threads as like.
#include "solvers/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "ir/error.h"

namespace ptmz {

namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw Error("IO_ERROR", path + " could not be read: " + what);
}

}  // namespace

TokenFile::TokenFile(const std::string& path, int64_t vocabulary)
    : path_(path), vocabulary_(vocabulary), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0) fail(path, std::strerror(errno));
  struct stat status;
  if (fstat(file_, &status) == 0 && S_ISREG(status.st_mode)) {
    count_ = static_cast<int64_t>(status.st_size) / 2;
    return;
  }
  close(file_);
  fail(path, "it is not a file");
}

TokenFile::~TokenFile() { close(file_); }

void TokenFile::read(int64_t offset, int64_t count, int32_t* to) const {
  std::vector<uint8_t> bytes(static_cast<size_t>(2 * count));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t got = pread(file_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(2 * offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path_, std::strerror(errno));
    if (got == 0) fail(path_, "it has become shorter than its " + std::to_string(count_) + " tokens");
    done += static_cast<size_t>(got);
  }
  for (int64_t i = 0; i < count; ++i) {
    to[i] = bytes[2 * i] | bytes[2 * i + 1] << 8;
    if (to[i] >= vocabulary_)
      throw Error("INDEX_OUT_OF_RANGE", path_ + ": token " + std::to_string(to[i]) + " at " +
                                            std::to_string(offset + i) + " is not in 0.." +
                                            std::to_string(vocabulary_ - 1));
  }
}

}  // namespace ptmz
