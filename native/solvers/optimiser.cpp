// The fused optimiser pass: a check that nothing turns infinite, then the update, both cut into fixed blocks.
#include "solvers/optimiser.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "ir/error.h"

namespace ptmz {

namespace {

constexpr int64_t kBlock = 32768;
constexpr int64_t kParallelFrom = 65536;  // elements over all members below which threads cost more than they bring

// The elements of a block and their gradient; `second` is null where the rule has none.
template <typename T, typename Rule>
struct Block {
  Rule rule;
  T *p, *first, *second;
  const T* g;
  int64_t n;

  Element<T> next(int64_t i) const {
    Element<T> x{p[i], first[i], T(0)};
    if constexpr (Rule::kSecond) x.second = second[i];
    return rule.next(x, g[i]);
  }
  bool stays_finite() const {
    int bad = 0;
    for (int64_t i = 0; i < n; ++i) bad |= !is_finite<Rule>(next(i));
    return !bad;
  }
  void update() const {
    for (int64_t i = 0; i < n; ++i) {
      const Element<T> x = next(i);
      p[i] = x.p;
      first[i] = x.first;
      if constexpr (Rule::kSecond) second[i] = x.second;
    }
  }
};

}  // namespace

Optimiser::Optimiser(const OptimiserOptions& options, Vector& params, Vector& first, Vector* second,
                     const std::vector<ParameterRange>& ranges)
    : options_(options), params_(params), first_(first), second_(second) {
  const auto fail = [](const char* what) { throw Error("INVALID_ARGUMENT", std::string("optimiser: ") + what); };
  if (has_second_moment(options.kind) != (second != nullptr)) fail("the second moment does not fit the optimiser");
  const auto fits = [&](const Vector& v) {
    return v.rows() == params.rows() && v.size() == params.size() && v.dtype() == params.dtype();
  };
  if (!fits(first) || (second && !fits(*second))) fail("the moments must be laid out as the parameters");
  for (const ParameterRange& range : ranges) {
    if (range.begin < 0 || range.end < range.begin || range.end > params.size())
      fail("a range lies outside the parameters");
    for (int64_t begin = range.begin; begin < range.end; begin += kBlock) {
      blocks_.push_back({begin, std::min(begin + kBlock, range.end), range.decays});
    }
  }
}

// Calls f(block, number of the item = member * blocks + block) for every block of every member that is alive.
template <typename F>
void Optimiser::for_each_block(const Vector& grad, const std::vector<OptimiserStep>& steps, int threads,
                               const std::vector<char>& alive, const F& f) const {
  const int64_t members = params_.rows(), blocks = static_cast<int64_t>(blocks_.size());
  if (members * params_.size() < kParallelFrom) threads = 1;
  parallel_for(threads, members * blocks, [&](int64_t item, int) {
    const int64_t m = item / blocks;
    if (!alive[m]) return;
    const ParameterRange& range = blocks_[item % blocks];
    const auto call = [&]<typename T, typename Rule>(T, const Rule& rule) {
      T* second = second_ ? second_->as<T>(m) + range.begin : nullptr;
      f(Block<T, Rule>{rule, params_.as<T>(m) + range.begin, first_.as<T>(m) + range.begin, second,
                       grad.as<T>(m) + range.begin, range.end - range.begin},
        item);
    };
    const auto dispatch = [&]<typename T>(T type) {
      with_rule<T>(options_, [&]<typename Rule>(Rule*) { call(type, Rule(options_, steps[m], range.decays)); });
    };
    params_.dtype() == DType::f32 ? dispatch(float{}) : dispatch(double{});
  });
}

void Optimiser::check(const Vector& grad, const std::vector<OptimiserStep>& steps, int threads,
                      std::vector<char>& alive) const {
  const int64_t blocks = static_cast<int64_t>(blocks_.size());
  std::vector<char> finite(params_.rows() * blocks, 1);
  for_each_block(grad, steps, threads, alive,
                 [&](const auto& block, int64_t item) { finite[item] = block.stays_finite(); });
  for (size_t item = 0; item < finite.size(); ++item) alive[item / blocks] &= finite[item];
}

void Optimiser::apply(const Vector& grad, const std::vector<OptimiserStep>& steps, int threads,
                      const std::vector<char>& alive) {
  for_each_block(grad, steps, threads, alive, [](const auto& block, int64_t) { block.update(); });
}

}  // namespace ptmz
