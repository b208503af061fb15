// Kernels of a training step once its gradient is there: what is kept of a batch, the optimiser, and who goes on. A
// member whose numbers are not finite moves no further; the others do not notice.
#include "backend/cuda/kernels/fold.h"
#include "backend/cuda/kernels/step.h"
#include "backend/cuda/kernels/table.h"

namespace ptmz::cuda {
namespace {

// to (P, ...)[column + i] += weight * from (P,n)[i], in float64.
template <typename T>
__global__ void add_rows(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t i) {
    row_of<double>(task.to, m)[task.column + i] += task.weight * static_cast<double>(row_of<const T>(task.from, m)[i]);
  });
}

// One block per member. A step begins with all members that are not frozen.
template <typename T>
__global__ void accept(PTMZ_STEP) {
  PTMZ_DYNAMIC_SHARED(double, cells);
  const int lanes = static_cast<int>(blockDim.x), lane = static_cast<int>(threadIdx.x);
  for_each_member(task, [&](int64_t m) {
    double bad = 0;
    for (int64_t i = lane; i < task.buffer_count; i += lanes)
      bad += is_number(row_of<const T>(task.next_buffers, m)[i]) ? 0 : 1;
    bad = fold_lanes<Add>(cells, bad, 0, lane, lanes, 1);
    if (lane != 0) return;
    double* const state = task.state + m * kStateRow;
    const bool well = task.place->begins_step ? state[kStateFrozenAt] < 0 : task.alive[m] != 0;
    const double loss = static_cast<double>(*row_of<const T>(task.loss, m));
    const bool alive = well && bad == 0 && is_number(loss);
    task.alive[m] = alive;
    if (!alive) return;
    state[kStateLoss] += loss * static_cast<double>(task.batch);
    state[kStateCorrect] += task.correct.data == nullptr ? static_cast<double>(NAN)
                                                         : static_cast<double>(*row_of<const T>(task.correct, m));
  });
}

template <typename T>
__global__ void add_gradient(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t i) {
    if (!task.alive[m]) return;
    T* const sum = row_of<T>(task.to, m) + i;
    const T weight = static_cast<T>(task.place->weight);
    *sum = (task.place->begins_step ? T(0) : *sum) + weight * row_of<const T>(task.from, m)[i];
  });
}

// One block per part of a member's gradient.
template <typename T>
__global__ void norm_parts(PTMZ_STEP) {
  PTMZ_DYNAMIC_SHARED(double, cells);
  const int lanes = static_cast<int>(blockDim.x), lane = static_cast<int>(threadIdx.x);
  const int64_t begin = blockIdx.x * kNormPart, size = task.count - begin;
  const int64_t end = begin + (size < kNormPart ? size : kNormPart);
  for_each_member(task, [&](int64_t m) {
    double squares = 0;
    for (int64_t i = begin + lane; i < end; i += lanes) {
      const double g = static_cast<double>(row_of<const T>(task.gradient, m)[i]);
      squares += g * g;
    }
    squares = fold_lanes<Add>(cells, squares, 0, lane, lanes, 1);
    if (lane == 0) task.norms[m * task.norm_count + blockIdx.x] = squares;
  });
}

template <typename Rule>
__device__ inline Rule* rule_of(const StepTask& task, int64_t m, bool decays) {
  static_assert(sizeof(Rule) <= kRuleBytes);
  return reinterpret_cast<Rule*>(task.rules + (2 * m + decays) * kRuleBytes);
}

// One block per member. Norms are clipped as torch.nn.utils.clip_grad_norm_ does: by clip / (norm + 1e-6) where that is
// below 1.
template <typename T, typename Rule>
__global__ void make_rules(PTMZ_STEP) {
  PTMZ_DYNAMIC_SHARED(double, cells);
  const int lanes = static_cast<int>(blockDim.x), lane = static_cast<int>(threadIdx.x);
  for_each_member(task, [&](int64_t m) {
    double scale = 1;
    if (task.clip > 0) {
      double squares = 0;
      for (int64_t i = lane; i < task.norm_count; i += lanes) squares += task.norms[m * task.norm_count + i];
      const double limit = task.clip / (sqrt(fold_lanes<Add>(cells, squares, 0, lane, lanes, 1)) + 1e-6);
      scale = task.alive[m] && limit < 1 ? limit : 1;
    }
    if (lane >= 2) return;
    const int64_t step = task.place->step;
    const OptimiserStep now{task.lr[m * task.steps + step], task.momentum[step], task.weight_decay[m], step + 1, scale};
    *rule_of<Rule>(task, m, lane == 1) = Rule(task.optimiser, now, lane == 1);
  });
}

// Calls f(member, element index, new element) for the elements of a piece; blocks share pieces along x.
template <typename T, typename Rule, typename F>
__device__ inline void for_each_next(const StepTask& task, F f) {
  const StepPiece piece = task.pieces[blockIdx.x];
  for_each_member(task, [&](int64_t m) {
    const Rule rule = *rule_of<Rule>(task, m, piece.decays != 0);
    for (int i = static_cast<int>(threadIdx.x); i < piece.count; i += static_cast<int>(blockDim.x)) {
      const int64_t at = piece.begin + i;
      Element<T> x{row_of<const T>(task.params, m)[at], row_of<const T>(task.first, m)[at], T(0)};
      if constexpr (Rule::kSecond) x.second = row_of<const T>(task.second, m)[at];
      f(m, at, rule.next(x, row_of<const T>(task.gradient, m)[at]));
    }
  });
}

template <typename T, typename Rule>
__global__ void check_update(PTMZ_STEP) {
  for_each_next<T, Rule>(task, [&](int64_t m, int64_t, const Element<T>& next) {
    if (!is_finite<Rule>(next)) task.alive[m] = 0;
  });
}

template <typename T, typename Rule>
__global__ void update(PTMZ_STEP) {
  for_each_next<T, Rule>(task, [&](int64_t m, int64_t at, const Element<T>& next) {
    if (!task.alive[m]) return;
    row_of<T>(task.params, m)[at] = next.p;
    row_of<T>(task.first, m)[at] = next.first;
    if constexpr (Rule::kSecond) row_of<T>(task.second, m)[at] = next.second;
  });
}

__device__ inline bool ends_now(const StepTask& task, int64_t m) {
  return !task.alive[m] && task.state[m * kStateRow + kStateFrozenAt] < 0;
}

template <typename T>
__global__ void keep(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t i) {
    if (task.alive[m]) row_of<T>(task.to, m)[i] = row_of<const T>(task.from, m)[i];
  });
}

template <typename T>
__global__ void restore(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t i) {
    if (ends_now(task, m)) row_of<T>(task.to, m)[i] = row_of<const T>(task.from, m)[i];
  });
}

template <typename T>
__global__ void average(PTMZ_STEP) {
  for_each_element(task, [&](int64_t m, int64_t i) {
    if (!task.alive[m]) return;
    T* const to = row_of<T>(task.to, m) + i;
    const T from = row_of<const T>(task.from, m)[i];
    *to = task.place->step == 0 ? from : *to + static_cast<T>(task.average_part) * (from - *to);
  });
}

__global__ void freeze(PTMZ_STEP) {
  for_each_member(task, [&](int64_t m) {
    if (threadIdx.x == 0 && ends_now(task, m))
      task.state[m * kStateRow + kStateFrozenAt] = static_cast<double>(task.place->step);
  });
}

template <typename T>
StepKernel kernel_of(StepCode code) {
  switch (code) {
    case StepCode::add_rows:
      return add_rows<T>;
    case StepCode::accept:
      return accept<T>;
    case StepCode::add_gradient:
      return add_gradient<T>;
    case StepCode::norm_parts:
      return norm_parts<T>;
    case StepCode::keep:
      return keep<T>;
    case StepCode::restore:
      return restore<T>;
    case StepCode::average:
      return average<T>;
    case StepCode::freeze:
      return freeze;
    default:
      return nullptr;
  }
}

template <typename T>
StepKernel optimiser_kernel_of(StepCode code, const OptimiserOptions& options) {
  return with_rule<T>(options, [code]<typename Rule>(Rule*) -> StepKernel {
    switch (code) {
      case StepCode::make_rules:
        return make_rules<T, Rule>;
      case StepCode::check_update:
        return check_update<T, Rule>;
      case StepCode::update:
        return update<T, Rule>;
      default:
        return nullptr;
    }
  });
}

}  // namespace

StepKernel step_kernel(StepCode code, DType real) {
  return real == DType::f64 ? kernel_of<double>(code) : kernel_of<float>(code);
}

StepKernel optimiser_kernel(StepCode code, DType real, const OptimiserOptions& options) {
  return real == DType::f64 ? optimiser_kernel_of<double>(code, options) : optimiser_kernel_of<float>(code, options);
}

}  // namespace ptmz::cuda
