// The mixing networks forward and backward, each in one call, for batches of few rows: a library needs a call
// for each product, sum and mask, which take longer than the arithmetic.
#pragma once

#include <cstdint>

namespace powqmix {

struct MonotonicMixerShape {
  int rows, n_agents, state_size, embed_size, hypernet_size;  // R, N, S, K, G
  int64_t memory() const {  // floats that the backward pass needs of the forward pass
    return static_cast<int64_t>(rows) * (2 * hypernet_size + 4 * embed_size + n_agents * embed_size);
  }
};

// The parameters of modules.MonotonicMixer, or their gradients.
template <typename T>
struct MonotonicMixerTensors {
  T* state_weight;  // [2G + 2K, S]: into w1, w2, b2 and b1
  T* state_bias;    // [2G + 2K]
  T* w1_weight;     // [N K, G]
  T* w1_bias;       // [N K]
  T* w2_weight;     // [K, G]
  T* w2_bias;       // [K]
  T* b2_weight;     // [1, K]
  T* b2_bias;       // [1]
};

// q [R, N], state [R, S] -> q_tot [R]
void monotonic_mixer_forward(const MonotonicMixerShape& shape,
                             const MonotonicMixerTensors<const float>& parameters, const float* q,
                             const float* state, float* memory, float* q_tot);
void monotonic_mixer_backward(const MonotonicMixerShape& shape,
                              const MonotonicMixerTensors<const float>& parameters,
                              const MonotonicMixerTensors<float>& gradients, const float* q,
                              const float* state, const float* memory, const float* d_q_tot, float* d_q);

struct CentralMixerShape {
  int rows, n_agents, state_size, hidden_size;  // R, N, S, H
  int64_t memory() const {
    return static_cast<int64_t>(rows) * (n_agents + state_size + 4 * hidden_size + 2);
  }
};

// The parameters of modules.CentralMixer, or their gradients: weight and bias of each layer in turn.
template <typename T>
struct CentralMixerTensors {
  T* trunk[8];  // [H, S + N], [H], [H, H], [H], [H, H], [H], [1, H], [1]
  T* value[4];  // [H, S], [H], [1, H], [1]
};

// q [R, N], state [R, S] -> q_star [R]
void central_mixer_forward(const CentralMixerShape& shape, const CentralMixerTensors<const float>& parameters,
                           const float* q, const float* state, float* memory, float* q_star);
void central_mixer_backward(const CentralMixerShape& shape,
                            const CentralMixerTensors<const float>& parameters,
                            const CentralMixerTensors<float>& gradients, const float* state,
                            const float* memory, const float* d_q_star, float* d_q);

}  // namespace powqmix
