#include "cpu/recognizer_fit.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/layer.h"
#include "powqmix/ops.h"

namespace powqmix {

namespace {

// Activations of one pass, and gradients in the same shapes.
struct Memory {
  explicit Memory(const RecognizerShape& s)
      : first(static_cast<size_t>(s.rows) * 3 * s.hidden_size),
        second(first.size()),
        w1(static_cast<size_t>(s.rows) * s.n_agents * s.embed_size),
        w2(static_cast<size_t>(s.rows) * s.embed_size),
        value(s.rows),
        mixed(w2.size()),
        d_first(first.size()),
        d_second(first.size()) {}
  std::vector<float> first;   // [R, 3H]
  std::vector<float> second;  // [3, R, H]
  std::vector<float> w1;      // [R, N, K]
  std::vector<float> w2;      // [R, K]
  std::vector<float> value;   // [R]
  std::vector<float> mixed;   // [R, K] sum_i A_i |w1_ik|
  std::vector<float> d_first, d_second;
};

float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f; }

void forward(const RecognizerShape& s, const RecognizerTensors<const float>& p, const RecognizerRows& rows,
             Memory& m) {
  const DenseKernels& dense = dense_kernels();
  const int R = s.rows, N = s.n_agents, K = s.embed_size, H = s.hidden_size;
  dense.multiply_transposed(R, 3 * H, s.state_size, rows.state, s.state_size, p.state_weight, s.state_size,
                            p.state_bias, m.first.data(), 3 * H);
  for (int r = 0; r < R; ++r) {
    float* first = &m.first[static_cast<size_t>(r) * 3 * H];
    for (int i = 0; i < N; ++i) {
      const float* row = p.action_in + (i * s.n_actions + rows.actions[r * N + i]) * 2 * H;
      for (int k = 0; k < 2 * H; ++k) first[k] += row[k];
    }
  }
  relu(m.first.data(), m.first.size());
  for (int net = 0; net < 3; ++net) {
    dense.multiply_transposed(R, H, H, m.first.data() + net * H, 3 * H, p.hidden_weight + net * H * H, H,
                              p.hidden_bias + net * H, &m.second[static_cast<size_t>(net) * R * H], H);
  }
  relu(m.second.data(), m.second.size());
  const float* second = m.second.data();
  dense.multiply_transposed(R, N * K, H, second, H, p.w1_weight, H, p.w1_bias, m.w1.data(), N * K);
  dense.multiply_transposed(R, K, H, second + static_cast<size_t>(R) * H, H, p.w2_weight, H, p.w2_bias,
                            m.w2.data(), K);
  dense.multiply_transposed(R, 1, H, second + static_cast<size_t>(2) * R * H, H, p.value_weight, H,
                            p.value_bias, m.value.data(), 1);
}

void mix(const RecognizerShape& s, const RecognizerRows& rows, Memory& m) {
  const int R = s.rows, N = s.n_agents, K = s.embed_size;
  std::fill(m.mixed.begin(), m.mixed.end(), 0.0f);
  for (int r = 0; r < R; ++r) {
    float* mixed = &m.mixed[static_cast<size_t>(r) * K];
    for (int i = 0; i < N; ++i) {
      const float advantage = rows.advantages[r * N + i];
      const float* w1 = &m.w1[(static_cast<size_t>(r) * N + i) * K];
      for (int k = 0; k < K; ++k) mixed[k] += advantage * std::fabs(w1[k]);
    }
  }
}

void backward(const RecognizerShape& s, const RecognizerTensors<const float>& p,
              const RecognizerTensors<float>& g, const RecognizerRows& rows, Memory& m) {
  const DenseKernels& dense = dense_kernels();
  const int R = s.rows, N = s.n_agents, K = s.embed_size, H = s.hidden_size;
  for (int r = 0; r < R; ++r) {
    float* w2 = &m.w2[static_cast<size_t>(r) * K];
    const float* mixed = &m.mixed[static_cast<size_t>(r) * K];
    float q_r = m.value[r];
    for (int k = 0; k < K; ++k) q_r += mixed[k] * std::fabs(w2[k]);
    const float d_q = (q_r - rows.target[r]) * rows.share[r];
    m.value[r] = d_q;
    for (int i = 0; i < N; ++i) {
      const float d_joint = d_q * rows.advantages[r * N + i];
      float* w1 = &m.w1[(static_cast<size_t>(r) * N + i) * K];
      for (int k = 0; k < K; ++k) w1[k] = d_joint * std::fabs(w2[k]) * sign(w1[k]);
    }
    for (int k = 0; k < K; ++k) w2[k] = d_q * mixed[k] * sign(w2[k]);
  }
  // w1, w2 and value hold gradients from here on.
  const size_t part = static_cast<size_t>(R) * H;
  layer_backward(dense, R, N * K, H, {m.w1.data(), N * K}, {m.second.data(), H}, p.w1_weight, g.w1_weight,
                 g.w1_bias, {m.d_second.data(), H});
  layer_backward(dense, R, K, H, {m.w2.data(), K}, {m.second.data() + part, H}, p.w2_weight, g.w2_weight,
                 g.w2_bias, {m.d_second.data() + part, H});
  layer_backward(dense, R, 1, H, {m.value.data(), 1}, {m.second.data() + 2 * part, H}, p.value_weight,
                 g.value_weight, g.value_bias, {m.d_second.data() + 2 * part, H});
  relu_backward(m.second.data(), m.d_second.data(), m.second.size());
  for (int net = 0; net < 3; ++net) {
    layer_backward(dense, R, H, H, {&m.d_second[net * part], H}, {m.first.data() + net * H, 3 * H},
                   p.hidden_weight + net * H * H, g.hidden_weight + net * H * H, g.hidden_bias + net * H,
                   {m.d_first.data() + net * H, 3 * H});
  }
  relu_backward(m.first.data(), m.d_first.data(), m.first.size());
  layer_backward(dense, R, 3 * H, s.state_size, {m.d_first.data(), 3 * H}, {rows.state, s.state_size},
                 p.state_weight, g.state_weight, g.state_bias, {nullptr, 0});
  std::fill_n(g.action_in, static_cast<size_t>(N) * s.n_actions * 2 * H, 0.0f);
  for (int r = 0; r < R; ++r) {
    const float* d_first = &m.d_first[static_cast<size_t>(r) * 3 * H];
    for (int i = 0; i < N; ++i) {
      float* row = g.action_in + (i * s.n_actions + rows.actions[r * N + i]) * 2 * H;
      for (int k = 0; k < 2 * H; ++k) row[k] += d_first[k];
    }
  }
}

}  // namespace

void recognizer_fit(const RecognizerShape& shape, const RecognizerTensors<const float>& parameters,
                    const RecognizerTensors<float>& gradients, const RecognizerRows& rows, int steps,
                    const AdamState& adam, const AdamConstants& constants, float* norm, float* skipped) {
  Memory memory(shape);
  *skipped = 0.0f;
  for (int step = 0; step < steps; ++step) {
    forward(shape, parameters, rows, memory);
    mix(shape, rows, memory);
    backward(shape, parameters, gradients, rows, memory);
    float step_skipped = 0.0f;
    adam_step(adam, constants, norm, &step_skipped);
    *skipped = std::max(*skipped, step_skipped);
  }
}

void recognizer_evaluate(const RecognizerShape& shape, const RecognizerTensors<const float>& parameters,
                         const RecognizerRows& rows, float* scales, float* state_value) {
  Memory memory(shape);
  forward(shape, parameters, rows, memory);
  cpu::hyper_scales(shape.rows, shape.n_agents, shape.embed_size, memory.w1.data(), memory.w2.data(), scales,
                    1);
  std::copy(memory.value.begin(), memory.value.end(), state_value);
}

}  // namespace powqmix
