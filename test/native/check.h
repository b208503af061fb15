// A small test harness: TEST(name) { CHECK(...); CHECK_CLOSE(a, b, tolerance); } registers itself.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "ir/error.h"

namespace check {

struct Test {
  const char* name;
  void (*body)();
};
inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}
inline int failures = 0;  // of the running test

struct Register {
  Register(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

inline void fail(const char* file, int line, const char* what) {
  std::printf("%s:%d: %s\n", file, line, what);
  ++failures;
}

// The code of the Error that a call throws, or "none".
template <typename Call>
std::string code_of(const Call& call) {
  try {
    call();
  } catch (const ptmz::Error& error) {
    return error.code();
  }
  return "none";
}

// Runs the tests whose name contains one of the filters, or all.
inline int run_all(int filters, char** filter) {
  int failed = 0, run = 0;
  for (const Test& test : tests()) {
    bool wanted = filters == 0;
    for (int i = 0; i < filters; ++i) wanted = wanted || std::strstr(test.name, filter[i]) != nullptr;
    if (!wanted) continue;
    ++run;
    failures = 0;
    try {
      test.body();
    } catch (const std::exception& e) {
      std::printf("%s: threw %s\n", test.name, e.what());
      ++failures;
    }
    if (failures > 0) std::printf("FAILED %s\n", test.name), ++failed;
  }
  std::printf("%d passed, %d failed\n", run - failed, failed);
  return failed > 0;
}

}  // namespace check

#define TEST(name)                                                  \
  static void test_##name();                                        \
  static const check::Register register_##name(#name, test_##name); \
  static void test_##name()
#define CHECK(condition) ((condition) ? void() : check::fail(__FILE__, __LINE__, #condition))
#define CHECK_CLOSE(a, b, tolerance)                                                                             \
  do {                                                                                                           \
    const double check_a = (a), check_b = (b);                                                                   \
    if (!(std::fabs(check_a - check_b) <= (tolerance))) {                                                        \
      char check_text[256];                                                                                      \
      std::snprintf(check_text, sizeof check_text, "%s = %.17g, expected %s = %.17g", #a, check_a, #b, check_b); \
      check::fail(__FILE__, __LINE__, check_text);                                                               \
    }                                                                                                            \
  } while (false)
// The expression must throw a ptmz::Error with this code.
#define CHECK_CODE(expression, expected)                                      \
  do {                                                                        \
    const char* check_got = "nothing thrown";                                 \
    std::string check_code;                                                   \
    try {                                                                     \
      (void)(expression);                                                     \
    } catch (const ptmz::Error& e) {                                          \
      check_code = e.code();                                                  \
      check_got = check_code.c_str();                                         \
    }                                                                         \
    if (check_code != (expected)) check::fail(__FILE__, __LINE__, check_got); \
  } while (false)
