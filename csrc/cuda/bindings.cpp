// The CUDA kernels for Python.
#define POWQMIX_DEVICE cuda
#define POWQMIX_PREFIX "cuda_"
#include "bindings/ops.inc"
#include "powqmix/gru.h"
#include "powqmix/replay.h"

namespace powqmix {

namespace {

// As powqmix.learner.episode_decoder calls it: addresses on the device, sizes that it has checked.
void decode_at(const std::array<int64_t, 6>& layout, Address payload, Address offsets, Address steps,
               int64_t rows, int64_t length, const std::array<Address, 7>& to, Runner runner) {
  const ReplayBatch batch = {length,
                             reinterpret_cast<float*>(to[0]),
                             reinterpret_cast<float*>(to[1]),
                             reinterpret_cast<uint8_t*>(to[2]),
                             reinterpret_cast<int64_t*>(to[3]),
                             reinterpret_cast<float*>(to[4]),
                             reinterpret_cast<uint8_t*>(to[5]),
                             reinterpret_cast<uint8_t*>(to[6])};
  cuda::replay_decode({layout[0], layout[1], layout[2], layout[3], layout[4] != 0, layout[5] != 0},
                      reinterpret_cast<const uint8_t*>(payload), reinterpret_cast<const int64_t*>(offsets),
                      reinterpret_cast<const int64_t*>(steps), rows, batch, runner);
}

}  // namespace

void bind_cuda(pybind11::module_& m) {
  const auto unlocked = pybind11::call_guard<pybind11::gil_scoped_release>();
  bind_ops_of_device(m);
  m.def("cuda_replay_decode", decode_at, unlocked);
  m.def(
      "cuda_gru_forward",
      [](std::array<int, 3> s, int hidden, bool keep, std::array<Address, 3> i, std::array<Address, 2> o,
         Runner runner) {
        cuda::gru_forward(
            hidden, {{s[0], s[1], s[2]}, in(i[0]), in(i[1]), in(i[2]), out(o[0]), out(o[1]), keep}, runner);
      },
      unlocked);
  m.def(
      "cuda_gru_backward",
      [](std::array<int, 3> s, int hidden, std::array<Address, 5> i, std::array<Address, 2> o,
         Runner runner) {
        cuda::gru_backward(
            hidden,
            {{s[0], s[1], s[2]}, in(i[0]), in(i[1]), in(i[2]), in(i[3]), in(i[4]), out(o[0]), out(o[1])},
            runner);
      },
      unlocked);
}

}  // namespace powqmix
