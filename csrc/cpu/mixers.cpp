#include "cpu/mixers.h"

#include <algorithm>
#include <vector>

#include "cpu/layer.h"
#include "cpu/mlp.h"

namespace powqmix {

namespace {

using Floats = std::vector<float>;

// What the forward pass leaves, in its memory.
template <typename T>
struct MonotonicMemory {
  MonotonicMemory(const MonotonicMixerShape& s, T* at)
      : width(2 * s.hypernet_size + 2 * s.embed_size),
        hidden(at),
        w1(hidden + static_cast<int64_t>(s.rows) * width),
        w2(w1 + static_cast<int64_t>(s.rows) * s.n_agents * s.embed_size),
        b1(w2 + static_cast<int64_t>(s.rows) * s.embed_size) {}
  int64_t width;
  T* hidden;  // [R, 2G + 2K], after the ReLU but for b1
  T* w1;      // [R, N K]
  T* w2;      // [R, K]
  T* b1;      // [R, K]
};

}  // namespace

void monotonic_mixer_forward(const MonotonicMixerShape& s, const MonotonicMixerTensors<const float>& p,
                             const float* q, const float* state, float* memory, float* q_tot) {
  const DenseKernels& dense = dense_kernels();
  const int R = s.rows, N = s.n_agents, S = s.state_size, K = s.embed_size, G = s.hypernet_size;
  const MonotonicMemory<float> m(s, memory);
  const int64_t W = m.width;
  dense.multiply_transposed(R, static_cast<int>(W), S, state, S, p.state_weight, S, p.state_bias, m.hidden,
                            W);
  for (int64_t r = 0; r < R; ++r) {
    relu(m.hidden + r * W, W - K);
    std::copy_n(m.hidden + r * W + W - K, K, m.b1 + r * K);
  }
  Floats b2(R);
  dense.multiply_transposed(R, N * K, G, m.hidden, W, p.w1_weight, G, p.w1_bias, m.w1, N * K);
  dense.multiply_transposed(R, K, G, m.hidden + G, W, p.w2_weight, G, p.w2_bias, m.w2, K);
  dense.multiply_transposed(R, 1, K, m.hidden + 2 * G, W, p.b2_weight, K, p.b2_bias, b2.data(), 1);
  dense.monotonic_mix(R, N, K, q, m.w1, m.b1, m.w2, b2.data(), q_tot);
}

void monotonic_mixer_backward(const MonotonicMixerShape& s, const MonotonicMixerTensors<const float>& p,
                              const MonotonicMixerTensors<float>& g, const float* q, const float* state,
                              const float* memory, const float* d_q_tot, float* d_q) {
  const DenseKernels& dense = dense_kernels();
  const int R = s.rows, N = s.n_agents, S = s.state_size, K = s.embed_size, G = s.hypernet_size;
  const MonotonicMemory<const float> m(s, memory);
  const int64_t W = m.width;
  Floats d_w1(static_cast<size_t>(R) * N * K), d_w2(static_cast<size_t>(R) * K), d_b1(d_w2.size()),
      d_hidden(static_cast<size_t>(R) * W);
  dense.monotonic_mix_backward(R, N, K, q, m.w1, m.b1, m.w2, d_q_tot, d_q, d_w1.data(), d_b1.data(),
                               d_w2.data(), false);
  layer_backward(dense, R, N * K, G, {d_w1.data(), N * K}, {m.hidden, W}, p.w1_weight, g.w1_weight, g.w1_bias,
                 {d_hidden.data(), W});
  layer_backward(dense, R, K, G, {d_w2.data(), K}, {m.hidden + G, W}, p.w2_weight, g.w2_weight, g.w2_bias,
                 {d_hidden.data() + G, W});
  layer_backward(dense, R, 1, K, {d_q_tot, 1}, {m.hidden + 2 * G, W}, p.b2_weight, g.b2_weight, g.b2_bias,
                 {d_hidden.data() + 2 * G, W});
  for (int64_t r = 0; r < R; ++r) {
    relu_backward(m.hidden + r * W, d_hidden.data() + r * W, W - K);
    std::copy_n(d_b1.data() + r * K, K, d_hidden.data() + r * W + W - K);
  }
  layer_backward(dense, R, static_cast<int>(W), S, {d_hidden.data(), W}, {state, S}, p.state_weight,
                 g.state_weight, g.state_bias, {nullptr, 0});
}

namespace {

struct CentralLayers {
  CentralLayers(const CentralMixerShape& s, const CentralMixerTensors<const float>& p,
                const CentralMixerTensors<float>* g) {
    const int N = s.n_agents, S = s.state_size, H = s.hidden_size;
    add(trunk, {S + N, H, H, H, 1}, p.trunk, g != nullptr ? g->trunk : nullptr);
    add(value, {S, H, 1}, p.value, g != nullptr ? g->value : nullptr);
  }
  std::vector<MlpLayer> trunk, value;

 private:
  static void add(std::vector<MlpLayer>& to, const std::vector<int>& sizes, const float* const* parameters,
                  float* const* gradients) {
    for (size_t l = 0; l + 1 < sizes.size(); ++l) {
      MlpLayer layer{parameters[2 * l], parameters[2 * l + 1], sizes[l], sizes[l + 1]};
      if (gradients != nullptr) {
        layer.d_weight = gradients[2 * l];
        layer.d_bias = gradients[2 * l + 1];
      }
      to.push_back(layer);
    }
  }
};

// The joint input [R, S + N], then each layer's activations.
struct CentralMemory {
  CentralMemory(const CentralMixerShape& s, float* at) : joint(at) {
    const int64_t layer = static_cast<int64_t>(s.rows) * s.hidden_size;
    float* next = at + static_cast<int64_t>(s.rows) * (s.state_size + s.n_agents);
    for (int l = 0; l < 3; ++l, next += layer) trunk.push_back(next);
    value.push_back(next);
    next += layer;
    trunk.push_back(next);
    value.push_back(next + s.rows);
  }
  float* joint;
  std::vector<float*> trunk, value;
};

}  // namespace

void central_mixer_forward(const CentralMixerShape& s, const CentralMixerTensors<const float>& p,
                           const float* q, const float* state, float* memory, float* q_star) {
  const int R = s.rows, N = s.n_agents, S = s.state_size;
  const CentralMemory m(s, memory);
  const CentralLayers layers(s, p, nullptr);
  for (int64_t r = 0; r < R; ++r) {
    std::copy_n(state + r * S, S, m.joint + r * (S + N));
    std::copy_n(q + r * N, N, m.joint + r * (S + N) + S);
  }
  mlp_forward(R, layers.trunk, m.joint, m.trunk);
  mlp_forward(R, layers.value, state, m.value);
  for (int r = 0; r < R; ++r) q_star[r] = m.trunk.back()[r] + m.value.back()[r];
}

void central_mixer_backward(const CentralMixerShape& s, const CentralMixerTensors<const float>& p,
                            const CentralMixerTensors<float>& g, const float* state, const float* memory,
                            const float* d_q_star, float* d_q) {
  const int R = s.rows, N = s.n_agents, S = s.state_size;
  Floats copy(memory, memory + s.memory());  // the layers' gradients are written over their activations
  const CentralMemory m(s, copy.data());
  const CentralLayers layers(s, p, &g);
  Floats d_joint(static_cast<size_t>(R) * (S + N));
  mlp_backward(R, layers.trunk, m.joint, m.trunk, d_q_star, d_joint.data());
  mlp_backward(R, layers.value, state, m.value, d_q_star, nullptr);
  for (int64_t r = 0; r < R; ++r) std::copy_n(&d_joint[r * (S + N) + S], N, d_q + r * N);
}

}  // namespace powqmix
