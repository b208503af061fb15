// Fibers: a block's threads are run one after the other on one fiber for as long as none of them meets __syncthreads();
// a thread that does keeps its fiber and waits there until all threads of the block have come.
#include "backend/cuda/host/fibers.h"

#ifndef __x86_64__
#include <ucontext.h>
#endif

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "backend/cuda/host/cuda_on_host.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define PTMZ_FIBER_SANITIZER 1
#endif

#ifdef __x86_64__
// Keeps the callee-saved registers on the stack that is left. swapcontext() does the same with two system calls, and
// under AddressSanitizer clears the shadow of a whole stack each time.
extern "C" void ptmz_switch_stack(void** leave, void* enter);
asm(R"(
.text
.local ptmz_switch_stack
.type ptmz_switch_stack, @function
ptmz_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ptmz_switch_stack, .-ptmz_switch_stack
)");
#endif

namespace cuda_on_host {
namespace {

// Where a thread of control stopped.
#ifdef __x86_64__
struct Context {
  void* stack_pointer = nullptr;

  void begin_at(void (*entry)(), char* stack, size_t bytes) {
    // Six registers, the address to return to, and one word so that the entry finds its stack aligned.
    void** top = reinterpret_cast<void**>(stack + bytes) - 8;
    std::memset(top, 0, 8 * sizeof(void*));
    top[6] = reinterpret_cast<void*>(entry);
    stack_pointer = top;
  }
  static void change(Context& from, Context& to) { ptmz_switch_stack(&from.stack_pointer, to.stack_pointer); }
};
#else
struct Context {
  ucontext_t context;

  void begin_at(void (*entry)(), char* stack, size_t bytes) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = bytes;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  static void change(Context& from, Context& to) { swapcontext(&from.context, &to.context); }
};
#endif

constexpr size_t kStackBytes = 256 * 1024;

struct Fiber {
  Context context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  void* fake_stack = nullptr;  // AddressSanitizer's, while the fiber is not running
  dim3 thread;                 // of the thread that it runs
  bool waiting = false;        // at a barrier
};

[[noreturn]] void stop(const char* what) {
  std::fprintf(stderr, "cuda_on_host: %s in block (%u, %u, %u)\n", what, blockIdx.x, blockIdx.y, blockIdx.z);
  std::abort();
}

// Runs the threads of one block at a time.
class Scheduler {
 public:
  void run(const std::vector<unsigned>& threads, const std::function<void()>& body) {
    threads_ = &threads;
    body_ = &body;
    next_ = 0;
    size_t finished_before = 0;
    for (size_t used = 0; next_ < threads.size(); ++used) {
      if (used == fibers_.size()) add_fiber();
      resume(*fibers_[used]);
    }
    for (;;) {
      std::vector<Fiber*> waiting;
      for (auto& fiber : fibers_)
        if (fiber->waiting) waiting.push_back(fiber.get());
      if (waiting.empty()) return;
      if (waiting.size() + finished_before != threads.size()) stop("not all threads reached __syncthreads()");
      if (finished_before > 0) stop("a thread ended before __syncthreads()");
      for (Fiber* fiber : waiting) resume(*fiber);
      for (Fiber* fiber : waiting) finished_before += !fiber->waiting;
      if (finished_before == threads.size()) return;
    }
  }

  void wait() {
    Fiber& fiber = *running_;
    fiber.waiting = true;
    fiber.thread = threadIdx;
    leave(fiber);
    threadIdx = fiber.thread;
  }

 private:
  void add_fiber() {
    fibers_.push_back(std::make_unique<Fiber>());
    Fiber& fiber = *fibers_.back();
    fiber.context.begin_at(&Scheduler::enter, fiber.stack.get(), kStackBytes);
  }

  // A fiber's life: takes threads while there are any, then sleeps until the next block.
  static void enter() {
#ifdef PTMZ_FIBER_SANITIZER
    __sanitizer_finish_switch_fiber(nullptr, &current().home_stack_, &current().home_size_);
#endif
    for (;;) {
      Scheduler& scheduler = current();
      while (scheduler.next_ < scheduler.threads_->size()) {
        const unsigned index = (*scheduler.threads_)[scheduler.next_++];
        threadIdx = {index % blockDim.x, index / blockDim.x % blockDim.y, index / blockDim.x / blockDim.y};
        (*scheduler.body_)();
      }
      leave(*scheduler.running_);
    }
  }

  void resume(Fiber& fiber) {
    running_ = &fiber;
    fiber.waiting = false;
#ifdef PTMZ_FIBER_SANITIZER
    void* own = nullptr;
    __sanitizer_start_switch_fiber(&own, fiber.stack.get(), kStackBytes);
    Context::change(home_, fiber.context);
    __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
#else
    Context::change(home_, fiber.context);
#endif
  }

  static void leave(Fiber& fiber) {
    Scheduler& scheduler = current();
#ifdef PTMZ_FIBER_SANITIZER
    __sanitizer_start_switch_fiber(&fiber.fake_stack, scheduler.home_stack_, scheduler.home_size_);
    Context::change(fiber.context, scheduler.home_);
    __sanitizer_finish_switch_fiber(fiber.fake_stack, &scheduler.home_stack_, &scheduler.home_size_);
#else
    Context::change(fiber.context, scheduler.home_);
#endif
  }

 public:
  static Scheduler& current() {
    static thread_local Scheduler scheduler;
    return scheduler;
  }

 private:
  std::vector<std::unique_ptr<Fiber>> fibers_;
  Fiber* running_ = nullptr;
  Context home_;
  [[maybe_unused]] const void* home_stack_ = nullptr;
  [[maybe_unused]] size_t home_size_ = 0;
  const std::vector<unsigned>* threads_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  size_t next_ = 0;
};

}  // namespace

void run_block(const std::vector<unsigned>& threads, const std::function<void()>& body) {
  Scheduler::current().run(threads, body);
}
void wait_for_block() { Scheduler::current().wait(); }

}  // namespace cuda_on_host
