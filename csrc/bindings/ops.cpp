#include "bindings/bindings.h"

namespace powqmix {

void bind_ops(pybind11::module_&) {}

}  // namespace powqmix
