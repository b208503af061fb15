// LineSearch: the search for a step that satisfies the strong Wolfe conditions, as a coroutine that asks for points.
#pragma once
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>

namespace ptmz {

// A place x + t d on the line: the loss there, its derivative along d, and the gradient in the bytes of its dtype.
struct LinePoint {
  double t = 0, loss = 0, slope = 0;
  std::shared_ptr<const char[]> gradient;
};

// The searches of many members go on side by side: each says which t it wants next, all of these are evaluated
// together, and each is resumed with its answer. A coroutine keeps every search written down as one algorithm.
class LineSearch {
 public:
  struct promise_type {
    double wanted = 0;
    LinePoint answer, result;
    std::exception_ptr error;

    LineSearch get_return_object() { return LineSearch(Handle::from_promise(*this)); }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_value(LinePoint point) { result = std::move(point); }
    void unhandled_exception() { error = std::current_exception(); }
    // co_yield t waits for the point at t.
    auto yield_value(double t) {
      wanted = t;
      struct Answer {
        promise_type& promise;
        bool await_ready() { return false; }
        void await_suspend(std::coroutine_handle<>) {}
        LinePoint await_resume() { return std::move(promise.answer); }
      };
      return Answer{*this};
    }
  };
  using Handle = std::coroutine_handle<promise_type>;

  LineSearch(LineSearch&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  LineSearch& operator=(LineSearch&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~LineSearch() {
    if (handle_) handle_.destroy();
  }

  bool done() const { return handle_.done(); }
  // The t whose point is asked for; until done.
  double wanted() const { return handle_.promise().wanted; }
  void resume(LinePoint point) {
    handle_.promise().answer = std::move(point);
    handle_.resume();
    if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
  }
  // The step that was found; once done.
  const LinePoint& result() const { return handle_.promise().result; }

 private:
  explicit LineSearch(Handle handle) : handle_(handle) {}
  Handle handle_;
};

// Nocedal and Wright 2006, algorithms 3.5 and 3.6 with cubic interpolation, decision for decision as torch.optim.LBFGS
// has it (c1 = 1e-4, c2 = 0.9). `start` is the point at t = 0, `t` the first trial, `norm` the largest |d_i|. It ends
// after `evaluations` trials at the latest, with the best point of the last bracket.
LineSearch strong_wolfe(LinePoint start, double t, double norm, double tolerance_change, int64_t evaluations);

}  // namespace ptmz
