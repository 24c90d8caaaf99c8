#include "bindings/bindings.h"

namespace powqmix {

void bind_replay(pybind11::module_&) {}

}  // namespace powqmix
