// The extension module powqmix._C.
#include "bindings/bindings.h"

PYBIND11_MODULE(_C, m) {
  m.doc() = "The native core of powqmix: kernels, environments, policy step, replay decoding.";
#ifdef POWQMIX_WITH_CUDA
  m.attr("with_cuda") = true;
  m.attr("cuda_architectures") = POWQMIX_CUDA_ARCHITECTURES;
#else
  m.attr("with_cuda") = false;
  m.attr("cuda_architectures") = "";
#endif
  powqmix::bind_ops(m);
#ifdef POWQMIX_WITH_CUDA
  powqmix::bind_cuda(m);
#endif
  powqmix::bind_envs(m);
  powqmix::bind_skirmish(m);
  powqmix::bind_actor(m);
  powqmix::bind_replay(m);
  powqmix::bind_wire(m);
  powqmix::bind_dense(m);
}
