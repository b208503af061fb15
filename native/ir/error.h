// Error: every failure of the core carries a stable code that the TypeScript layer passes on unchanged.
#pragma once
#include <stdexcept>
#include <string>

namespace ptmz {

class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

}  // namespace ptmz
