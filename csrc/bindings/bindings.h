// Each file of bindings registers one part of powqmix._C.
#pragma once

#include <pybind11/pybind11.h>

namespace powqmix {

void bind_ops(pybind11::module_& m);       // csrc/bindings/ops.cpp: kernels on the CPU
void bind_cuda(pybind11::module_& m);      // csrc/cuda/bindings.cpp: kernels on CUDA
void bind_envs(pybind11::module_& m);      // csrc/bindings/envs.cpp: native environments
void bind_skirmish(pybind11::module_& m);  // csrc/bindings/skirmish.cpp: the skirmish simulator
void bind_actor(pybind11::module_& m);     // csrc/bindings/actor.cpp: policy step and episode recorder
void bind_replay(pybind11::module_& m);    // csrc/bindings/replay.cpp: decoding stored episodes into a batch
void bind_wire(pybind11::module_& m);      // csrc/bindings/wire.cpp: checks of episodes that come as bytes
void bind_dense(pybind11::module_& m);     // csrc/bindings/dense.cpp: whole networks on the CPU

}  // namespace powqmix
