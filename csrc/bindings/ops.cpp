// The ops' kernels for Python: addresses and sizes that powqmix.ops has checked, one function a kernel and
// device.
#include "powqmix/ops.h"

#include <pybind11/stl.h>

#include <array>

#include "bindings/bindings.h"
#include "powqmix/gru.h"

namespace py = pybind11;

namespace powqmix {

namespace {

using Address = uintptr_t;
const float* in(Address a) { return reinterpret_cast<const float*>(a); }
float* out(Address a) { return reinterpret_cast<float*>(a); }
const uint8_t* flags(Address a) { return reinterpret_cast<const uint8_t*>(a); }
int64_t* index(Address a) { return reinterpret_cast<int64_t*>(a); }
int32_t* short_index(Address a) { return reinterpret_cast<int32_t*>(a); }

HeadInputs head_inputs(const std::array<Address, 8>& a) {
  return {in(a[0]), in(a[1]), in(a[2]), in(a[3]), in(a[4]), in(a[5]), in(a[6]), flags(a[7])};
}

// The kernels of one device, registered under `prefix`. A macro, because the functions differ in their
// namespace only.
#define POWQMIX_BIND(device, prefix)                                                                         \
  m.def(                                                                                                     \
      prefix "select_q",                                                                                     \
      [](int64_t rows, int actions_, Address q, Address avail, Address actions, Address taken,               \
         Address best_value, Address greedy, Address choices, Runner runner) {                               \
        device::select_q(rows, actions_, in(q), flags(avail), index(actions), out(taken), out(best_value),   \
                         index(greedy), short_index(choices), runner);                                       \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "select_q_backward",                                                                            \
      [](int64_t rows, int actions_, Address choices, Address d_taken, Address d_max, Address d_q,           \
         Runner runner) {                                                                                    \
        device::select_q_backward(rows, actions_, short_index(choices), in(d_taken), in(d_max), out(d_q),    \
                                  runner);                                                                   \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "hyper_scales",                                                                                 \
      [](int64_t rows, int agents, int embed, Address w1, Address w2, Address scales, Runner runner) {       \
        device::hyper_scales(rows, agents, embed, in(w1), in(w2), out(scales), runner);                      \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "hyper_scales_backward",                                                                        \
      [](int64_t rows, int agents, int embed, Address w1, Address w2, Address d, Address d_w1, Address d_w2, \
         Runner runner) {                                                                                    \
        device::hyper_scales_backward(rows, agents, embed, in(w1), in(w2), in(d), out(d_w1), out(d_w2),      \
                                      runner);                                                               \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "powqmix_head",                                                                                 \
      [](int64_t episodes, int64_t steps, int agents, std::array<float, 4> c, std::array<Address, 8> inputs, \
         std::array<Address, 3> outputs, Runner runner) {                                                    \
        device::powqmix_head({episodes, steps}, agents, {c[0], c[1], c[2], c[3]}, head_inputs(inputs),       \
                             out(outputs[0]), out(outputs[1]), out(outputs[2]), runner);                     \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "powqmix_loss",                                                                                 \
      [](int64_t episodes, int64_t steps, int agents, std::array<float, 4> c, std::array<Address, 8> inputs, \
         std::array<Address, 10> l, Runner runner) {                                                         \
        device::powqmix_loss({episodes, steps}, agents, {c[0], c[1], c[2], c[3]}, head_inputs(inputs),       \
                             {in(l[0]), in(l[1]), in(l[2]), out(l[3]), out(l[4]), out(l[5]), out(l[6]),      \
                              out(l[7]), out(l[8]), reinterpret_cast<double*>(l[9])},                        \
                             runner);                                                                        \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "powqmix_head_backward",                                                                        \
      [](int64_t rows, int agents, Address taken, Address best, Address filled, Address d_q_r,               \
         Address d_scales, Address d_value, Runner runner) {                                                 \
        device::powqmix_head_backward(rows, agents, in(taken), in(best), flags(filled), in(d_q_r),           \
                                      out(d_scales), out(d_value), runner);                                  \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "td_lambda_target",                                                                             \
      [](int64_t episodes, int64_t steps, float td_lambda, Address next, Address reward, Address discount,   \
         Address filled, Address target, Runner runner) {                                                    \
        device::td_lambda_target({episodes, steps}, td_lambda, in(next), in(reward), in(discount),           \
                                 flags(filled), out(target), runner);                                        \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "weighted_loss",                                                                                \
      [](int64_t rows, std::array<Address, 4> inputs, Address loss, Address gradient, Runner runner) {       \
        device::weighted_loss(rows, in(inputs[0]), in(inputs[1]), in(inputs[2]), in(inputs[3]), out(loss),   \
                              out(gradient), runner);                                                        \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "monotonic_mix",                                                                                \
      [](int64_t rows, int agents, int embed, std::array<Address, 5> inputs, Address q_tot, Runner runner) { \
        device::monotonic_mix(rows, agents, embed, in(inputs[0]), in(inputs[1]), in(inputs[2]),              \
                              in(inputs[3]), in(inputs[4]), out(q_tot), runner);                             \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "monotonic_mix_backward",                                                                       \
      [](int64_t rows, int agents, int embed, std::array<Address, 5> inputs, std::array<Address, 4> outputs, \
         Runner runner) {                                                                                    \
        device::monotonic_mix_backward(rows, agents, embed, in(inputs[0]), in(inputs[1]), in(inputs[2]),     \
                                       in(inputs[3]), in(inputs[4]), out(outputs[0]), out(outputs[1]),       \
                                       out(outputs[2]), out(outputs[3]), runner);                            \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "gru_forward",                                                                                  \
      [](std::array<int, 3> s, int hidden, bool keep, std::array<Address, 3> i, std::array<Address, 2> o,    \
         Runner runner) {                                                                                    \
        device::gru_forward(                                                                                 \
            hidden, {{s[0], s[1], s[2]}, in(i[0]), in(i[1]), in(i[2]), out(o[0]), out(o[1]), keep}, runner); \
      },                                                                                                     \
      unlocked);                                                                                             \
  m.def(                                                                                                     \
      prefix "gru_backward",                                                                                 \
      [](std::array<int, 3> s, int hidden, std::array<Address, 5> i, std::array<Address, 2> o,               \
         Runner runner) {                                                                                    \
        device::gru_backward(                                                                                \
            hidden,                                                                                          \
            {{s[0], s[1], s[2]}, in(i[0]), in(i[1]), in(i[2]), in(i[3]), in(i[4]), out(o[0]), out(o[1])},    \
            runner);                                                                                         \
      },                                                                                                     \
      unlocked)

}  // namespace

void bind_ops(py::module_& m) {
  m.attr("most_actions") = kMostActions;
  m.def("gru_takes", gru_takes);
  const auto unlocked = py::call_guard<py::gil_scoped_release>();
  POWQMIX_BIND(cpu, "cpu_");
#ifdef POWQMIX_WITH_CUDA
  POWQMIX_BIND(cuda, "cuda_");
#endif
}

}  // namespace powqmix
