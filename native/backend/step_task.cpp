// The names of step codes.
#include "backend/step_task.h"

#include <iterator>
#include <type_traits>

namespace ptmz {

static_assert(std::is_trivially_copyable_v<StepTask>);
static_assert(sizeof(StepTask) <= 4096, "kernel parameters are limited to 4 KB");

const char* name(StepCode code) {
  static const char* const names[] = {"set_place",   "shuffle",     "draw_images",  "recolour", "load_images",
                                      "load_tokens", "load_labels", "add_rows",     "accept",   "add_gradient",
                                      "norm_parts",  "make_rules",  "check_update", "update",   "keep",
                                      "restore",     "average",     "freeze"};
  static_assert(std::size(names) == static_cast<size_t>(StepCode::count));
  return names[static_cast<int>(code)];
}

}  // namespace ptmz
