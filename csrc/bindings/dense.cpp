// The learner's CPU kernels over whole networks: pointers and sizes that Python has checked.
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <future>
#include <tuple>

#include "bindings/bindings.h"
#include "cpu/adam.h"
#include "cpu/agent_sequence.h"
#include "cpu/critic_loss.h"
#include "cpu/gru_tiles.h"
#include "cpu/mixers.h"
#include "cpu/recognizer_fit.h"
#include "cpu/recognizer_tiles.h"

namespace py = pybind11;

namespace powqmix {

namespace {

using Address = uintptr_t;

template <typename T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}
const float* in(Address address) { return at<const float>(address); }
float* out(Address address) { return at<float>(address); }

using GruShape = std::array<int64_t, 5>;  // groups, agents, T, I, H
GruTilesShape gru_shape(const GruShape& s) { return {s[0], s[1], s[2], s[3], s[4]}; }

// parameters and gradients: w_ih, w_hh, b_ih, b_hh
void gru_forward(const GruShape& shape, bool bfloat16, const std::array<Address, 4>& parameters, Address x,
                 Address h0, Address y, Address saved, int threads) {
  const GruSequenceWeights weights{in(parameters[0]), in(parameters[1]), in(parameters[2]),
                                   in(parameters[3])};
  gru_tiles_forward(
      {gru_shape(shape), bfloat16, weights, at<void>(x), at<void>(h0), at<void>(y), at<void>(saved)},
      threads);
}

void gru_backward(const GruShape& shape, bool bfloat16, const std::array<Address, 2>& weights, Address x,
                  Address h0, Address y, Address saved, Address d_y, Address d_x, Address d_h0,
                  const std::array<Address, 4>& gradients, int threads) {
  gru_tiles_backward({gru_shape(shape),
                      bfloat16,
                      {in(weights[0]), in(weights[1]), nullptr, nullptr},
                      at<void>(x),
                      at<void>(h0),
                      at<void>(y),
                      at<void>(saved),
                      at<void>(d_y),
                      at<void>(d_x),
                      at<void>(d_h0),
                      {nullptr, out(gradients[0]), out(gradients[1]), out(gradients[2]), out(gradients[3])}},
                     threads);
}

using AgentShape = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, bool, bool>;
AgentSequenceShape agent_shape(const AgentShape& s) {
  return {std::get<0>(s), std::get<1>(s), std::get<2>(s), std::get<3>(s),
          std::get<4>(s), std::get<5>(s), std::get<6>(s), std::get<7>(s)};
}
template <typename T>
AgentTensors<T> agent_tensors(const std::array<Address, 8>& a) {
  return {at<T>(a[0]), at<T>(a[1]), at<T>(a[2]), at<T>(a[3]),
          at<T>(a[4]), at<T>(a[5]), at<T>(a[6]), at<T>(a[7])};
}
AgentSequenceMemory agent_memory(const std::array<Address, 3>& a) {
  return {out(a[0]), out(a[1]), out(a[2])};
}

void agent_forward(const AgentShape& shape, const std::array<Address, 8>& parameters, Address obs,
                   Address last_actions, const std::array<Address, 3>& memory, Address q, Address hidden) {
  agent_sequence_forward(agent_shape(shape), agent_tensors<const float>(parameters), in(obs),
                         at<const int64_t>(last_actions), agent_memory(memory), out(q), out(hidden));
}

void agent_backward(const AgentShape& shape, const std::array<Address, 8>& parameters,
                    const std::array<Address, 8>& gradients, Address obs, Address last_actions,
                    const std::array<Address, 3>& memory, Address d_q, Address d_hidden) {
  agent_sequence_backward(agent_shape(shape), agent_tensors<const float>(parameters),
                          agent_tensors<float>(gradients), in(obs), at<const int64_t>(last_actions),
                          agent_memory(memory), in(d_q), in(d_hidden));
}

MonotonicMixerShape monotonic_shape(const std::array<int, 5>& s) { return {s[0], s[1], s[2], s[3], s[4]}; }
template <typename T>
MonotonicMixerTensors<T> monotonic_tensors(const std::array<Address, 8>& a) {
  return {at<T>(a[0]), at<T>(a[1]), at<T>(a[2]), at<T>(a[3]),
          at<T>(a[4]), at<T>(a[5]), at<T>(a[6]), at<T>(a[7])};
}

void mix_monotonic(const std::array<int, 5>& sizes, const std::array<Address, 8>& parameters, Address q,
                   Address state, Address memory, Address q_tot) {
  monotonic_mixer_forward(monotonic_shape(sizes), monotonic_tensors<const float>(parameters), in(q),
                          in(state), out(memory), out(q_tot));
}

void mix_monotonic_gradient(const std::array<int, 5>& sizes, const std::array<Address, 8>& parameters,
                            const std::array<Address, 8>& gradients, Address q, Address state, Address memory,
                            Address d_q_tot, Address d_q) {
  monotonic_mixer_backward(monotonic_shape(sizes), monotonic_tensors<const float>(parameters),
                           monotonic_tensors<float>(gradients), in(q), in(state), in(memory), in(d_q_tot),
                           out(d_q));
}

CentralMixerShape central_shape(const std::array<int, 4>& s) { return {s[0], s[1], s[2], s[3]}; }
template <typename T>
CentralMixerTensors<T> central_tensors(const std::array<Address, 12>& a) {
  CentralMixerTensors<T> tensors;
  for (int k = 0; k < 8; ++k) tensors.trunk[k] = at<T>(a[k]);
  for (int k = 0; k < 4; ++k) tensors.value[k] = at<T>(a[8 + k]);
  return tensors;
}

void mix_central(const std::array<int, 4>& sizes, const std::array<Address, 12>& parameters, Address q,
                 Address state, Address memory, Address q_star) {
  central_mixer_forward(central_shape(sizes), central_tensors<const float>(parameters), in(q), in(state),
                        out(memory), out(q_star));
}

void mix_central_gradient(const std::array<int, 4>& sizes, const std::array<Address, 12>& parameters,
                          const std::array<Address, 12>& gradients, Address state, Address memory,
                          Address d_q_star, Address d_q) {
  central_mixer_backward(central_shape(sizes), central_tensors<const float>(parameters),
                         central_tensors<float>(gradients), in(state), in(memory), in(d_q_star), out(d_q));
}

template <typename T>
CriticTensors<T> critic_tensors(const std::array<Address, 20>& a) {
  std::array<Address, 8> agent;
  std::array<Address, 12> mixer;
  std::copy_n(a.begin(), 8, agent.begin());
  std::copy_n(a.begin() + 8, 12, mixer.begin());
  return {agent_tensors<T>(agent), central_tensors<T>(mixer)};
}

// sizes: S, and the mixer's H; batch: the addresses of CriticBatch.
void critic_gradient(const AgentShape& shape, const std::array<int, 2>& sizes,
                     const std::array<Address, 20>& parameters, const std::array<Address, 20>& gradients,
                     const std::array<Address, 6>& batch, Address loss) {
  critic_loss({agent_shape(shape), sizes[0], sizes[1]}, critic_tensors<const float>(parameters),
              critic_tensors<float>(gradients),
              {in(batch[0]), at<const int64_t>(batch[1]), in(batch[2]), at<const int64_t>(batch[3]),
               in(batch[4]), in(batch[5])},
              out(loss));
}

using AdamAddresses = std::tuple<int64_t, Address, Address, Address, Address, Address>;
using AdamNumbers = std::tuple<double, double, double, double, double>;
AdamState adam_state(const AdamAddresses& a) {
  return {std::get<0>(a),      out(std::get<1>(a)), in(std::get<2>(a)),
          out(std::get<3>(a)), out(std::get<4>(a)), out(std::get<5>(a))};
}
AdamConstants adam_constants(const AdamNumbers& n) {
  return {std::get<0>(n), std::get<1>(n), std::get<2>(n), std::get<3>(n), std::get<4>(n)};
}

void adam(const AdamAddresses& addresses, const AdamNumbers& numbers, Address norm, Address skipped) {
  adam_step(adam_state(addresses), adam_constants(numbers), out(norm), out(skipped));
}

template <typename T>
RecognizerTensors<T> recognizer_tensors(const std::array<Address, 11>& a) {
  return {at<T>(a[0]), at<T>(a[1]), at<T>(a[2]), at<T>(a[3]), at<T>(a[4]), at<T>(a[5]),
          at<T>(a[6]), at<T>(a[7]), at<T>(a[8]), at<T>(a[9]), at<T>(a[10])};
}

RecognizerShape recognizer_shape(const std::array<int, 6>& s) { return {s[0], s[1], s[2], s[3], s[4], s[5]}; }
RecognizerRows recognizer_rows(const std::array<Address, 5>& a) {
  return {in(a[0]), at<const int64_t>(a[1]), in(a[2]), in(a[3]), in(a[4])};
}

// The recognizer's steps in a thread of their own, until `wait`. The caller keeps all tensors alive.
class RecognizerFit {
 public:
  RecognizerFit(const std::array<int, 6>& sizes, const std::array<Address, 11>& parameters,
                const std::array<Address, 11>& gradients, const std::array<Address, 5>& rows, int steps,
                const AdamAddresses& addresses, const AdamNumbers& numbers, Address norm, Address skipped)
      : done_(std::async(std::launch::async, [=] {
          recognizer_fit(recognizer_shape(sizes), recognizer_tensors<const float>(parameters),
                         recognizer_tensors<float>(gradients), recognizer_rows(rows), steps,
                         adam_state(addresses), adam_constants(numbers), out(norm), out(skipped));
        })) {}
  void wait() {
    if (done_.valid()) done_.get();
  }

 private:
  std::future<void> done_;
};

void gradient_of_recognizer(const std::array<int, 6>& sizes, const std::array<Address, 11>& parameters,
                            const std::array<Address, 11>& gradients, const std::array<Address, 5>& rows,
                            bool bfloat16, int threads, Address loss) {
  recognizer_gradient(recognizer_shape(sizes), recognizer_tensors<const float>(parameters),
                      recognizer_tensors<float>(gradients), recognizer_rows(rows), bfloat16, threads,
                      out(loss));
}

void evaluate_recognizer(const std::array<int, 6>& sizes, const std::array<Address, 11>& parameters,
                         Address state, Address actions, Address scales, Address state_value) {
  recognizer_evaluate(recognizer_shape(sizes), recognizer_tensors<const float>(parameters),
                      recognizer_rows({state, actions, 0, 0, 0}), out(scales), out(state_value));
}

}  // namespace

void bind_dense(py::module_& m) {
  const auto unlocked = py::call_guard<py::gil_scoped_release>();
  m.def("has_bfloat16", gru_tiles_have_bfloat16);
  m.def("gru_sequence_forward", gru_forward, unlocked);
  m.def("gru_sequence_backward", gru_backward, unlocked);
  m.def("agent_sequence_forward", agent_forward, unlocked);
  m.def("agent_sequence_backward", agent_backward, unlocked);
  m.def("monotonic_mixer_memory", [](const std::array<int, 5>& s) { return monotonic_shape(s).memory(); });
  m.def("monotonic_mixer_forward", mix_monotonic, unlocked);
  m.def("monotonic_mixer_backward", mix_monotonic_gradient, unlocked);
  m.def("central_mixer_memory", [](const std::array<int, 4>& s) { return central_shape(s).memory(); });
  m.def("central_mixer_forward", mix_central, unlocked);
  m.def("central_mixer_backward", mix_central_gradient, unlocked);
  m.def("critic_loss", critic_gradient, unlocked);
  m.def("adam_step", adam, unlocked);
  m.def("recognizer_gradient", gradient_of_recognizer, unlocked);
  m.def("recognizer_evaluate", evaluate_recognizer, unlocked);
  py::class_<RecognizerFit>(m, "RecognizerFit")
      .def(py::init<const std::array<int, 6>&, const std::array<Address, 11>&, const std::array<Address, 11>&,
                    const std::array<Address, 5>&, int, const AdamAddresses&, const AdamNumbers&, Address,
                    Address>())
      .def("wait", &RecognizerFit::wait, unlocked);
}

}  // namespace powqmix
