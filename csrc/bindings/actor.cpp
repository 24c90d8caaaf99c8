#include "bindings/bindings.h"

namespace powqmix {

void bind_actor(pybind11::module_&) {}

}  // namespace powqmix
