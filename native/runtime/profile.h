// Profile: with PTMZ_PROFILE=1 the time of every launch, added up by kind and printed on stderr when the process ends;
// with PTMZ_PROFILE=2 by kind and shape.
#pragma once
#include <chrono>

#include "compile/program.h"

namespace ptmz {

// 0: no profile is wanted.
int profile_level();

// Measures one launch over its lifetime.
class ProfiledLaunch {
 public:
  ProfiledLaunch(const Program& program, const Launch& launch)
      : program_(profile_level() > 0 ? &program : nullptr), launch_(launch) {
    if (program_) start_ = std::chrono::steady_clock::now();
  }
  ~ProfiledLaunch() {
    if (program_) record();
  }
  ProfiledLaunch(const ProfiledLaunch&) = delete;
  ProfiledLaunch& operator=(const ProfiledLaunch&) = delete;

 private:
  void record() const;
  const Program* program_;
  const Launch& launch_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace ptmz
