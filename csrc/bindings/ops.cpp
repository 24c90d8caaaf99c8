// The ops' kernels on the CPU.
#define POWQMIX_DEVICE cpu
#define POWQMIX_PREFIX "cpu_"
#include "bindings/ops.inc"

#include "powqmix/gru.h"

namespace powqmix {

void bind_ops(pybind11::module_& m) {
  m.attr("most_actions") = kMostActions;
  m.def("gru_takes", gru_takes);
  bind_ops_of_device(m);
}

}  // namespace powqmix
