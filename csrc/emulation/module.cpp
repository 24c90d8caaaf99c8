// The CUDA kernels as a Python module that needs no GPU: powqmix._C's cuda_* functions, on addresses of the
// CPU's memory. Tests build it (tests/cuda_emulation.py); nothing else uses it.
#include "bindings/bindings.h"
#include "emulation/grid.h"

PYBIND11_MODULE(cuda_emulation, m) {
  powqmix::bind_cuda(m);
  m.def("set_order", powqmix::emulation::set_order);
}
