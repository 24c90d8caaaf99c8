#include "cpu/agent_sequence.h"

#include <algorithm>
#include <vector>

#include "cpu/dense.h"

namespace powqmix {

namespace {

using Floats = std::vector<float>;

// Calls visit(row in [B, T, N] order, row in [B N, T] order, agent) for all.
template <typename Visit>
void for_rows(const AgentSequenceShape& s, Visit visit) {
  int64_t given = 0;
  for (int64_t b = 0; b < s.episodes; ++b) {
    for (int64_t t = 0; t < s.steps; ++t) {
      for (int64_t n = 0; n < s.agents; ++n) visit(given++, (b * s.agents + n) * s.steps + t, n);
    }
  }
}

GruSequenceShape gru_shape(const AgentSequenceShape& s) {
  return {s.episodes * s.agents, s.steps, s.hidden, s.hidden};
}

}  // namespace

void agent_sequence_forward(const AgentSequenceShape& s, const AgentTensors<const float>& p, const float* obs,
                            const int64_t* last_actions, const AgentSequenceMemory& memory, float* q,
                            float* hidden) {
  const DenseKernels& dense = dense_kernels();
  const int64_t rows = s.episodes * s.steps * s.agents, H = s.hidden, I = s.input(), A = s.actions;
  Floats first(static_cast<size_t>(rows * H));
  dense.multiply_transposed(rows, H, s.obs, obs, s.obs, p.in_weight, I, p.in_bias, first.data(), H);
  for_rows(s, [&](int64_t given, int64_t row, int64_t agent) {
    const float* from = &first[given * H];
    float* x = memory.x + row * H;
    const int64_t last = s.use_last_action ? last_actions[given] : -1;
    const float* of_last = last >= 0 ? p.in_weight + s.obs + last : nullptr;
    const float* of_id = s.use_agent_id ? p.in_weight + I - s.agents + agent : nullptr;
    for (int64_t k = 0; k < H; ++k) {
      float sum = from[k];
      if (of_last != nullptr) sum += of_last[k * I];
      if (of_id != nullptr) sum += of_id[k * I];
      x[k] = sum > 0.0f ? sum : 0.0f;
    }
  });
  gru_sequence_forward(gru_shape(s), {p.w_ih, p.w_hh, p.b_ih, p.b_hh}, memory.x, nullptr, memory.hidden,
                       memory.saved);
  for_rows(s, [&](int64_t given, int64_t row, int64_t) {
    std::copy_n(memory.hidden + row * H, H, hidden + given * H);
  });
  dense.multiply_transposed(rows, A, H, hidden, H, p.out_weight, H, p.out_bias, q, A);
}

void agent_sequence_backward(const AgentSequenceShape& s, const AgentTensors<const float>& p,
                             const AgentTensors<float>& g, const float* obs, const int64_t* last_actions,
                             const AgentSequenceMemory& memory, const float* d_q, const float* d_hidden) {
  const DenseKernels& dense = dense_kernels();
  const int64_t rows = s.episodes * s.steps * s.agents, H = s.hidden, I = s.input(), A = s.actions;
  Floats d_given(static_cast<size_t>(rows * H)), d_rows(d_given.size()), given_hidden(d_given.size());
  if (d_hidden != nullptr) std::copy_n(d_hidden, rows * H, d_given.begin());
  dense.multiply(rows, H, A, d_q, A, 1, p.out_weight, H, d_given.data(), H, d_hidden != nullptr);
  for_rows(s, [&](int64_t given, int64_t row, int64_t) {
    std::copy_n(&d_given[given * H], H, &d_rows[row * H]);
    std::copy_n(memory.hidden + row * H, H, &given_hidden[given * H]);
  });
  dense.multiply(A, H, rows, d_q, 1, A, given_hidden.data(), H, g.out_weight, H, false);
  std::fill_n(g.out_bias, A, 0.0f);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t a = 0; a < A; ++a) g.out_bias[a] += d_q[row * A + a];
  }

  Floats d_gi(static_cast<size_t>(rows * 3 * H)), d_gh(d_gi.size()), previous(d_given.size()),
      d_x(d_given.size());
  gru_sequence_backward(gru_shape(s), p.w_hh, nullptr, memory.hidden, memory.saved, d_rows.data(),
                        d_gi.data(), d_gh.data(), previous.data(), nullptr);
  gru_sequence_products(gru_shape(s), p.w_ih, memory.x, d_gi.data(), d_gh.data(), previous.data(),
                        {d_x.data(), g.w_ih, g.w_hh, g.b_ih, g.b_hh});

  // The first layer: its ReLU, then columns.
  std::fill_n(g.in_bias, H, 0.0f);
  std::fill_n(g.in_weight, H * I, 0.0f);
  for_rows(s, [&](int64_t given, int64_t row, int64_t agent) {
    const int64_t last = s.use_last_action ? last_actions[given] : -1;
    float* of_last = last >= 0 ? g.in_weight + s.obs + last : nullptr;
    float* of_id = s.use_agent_id ? g.in_weight + I - s.agents + agent : nullptr;
    for (int64_t k = 0; k < H; ++k) {
      const float d = memory.x[row * H + k] > 0.0f ? d_x[row * H + k] : 0.0f;
      d_given[given * H + k] = d;
      g.in_bias[k] += d;
      if (of_last != nullptr) of_last[k * I] += d;
      if (of_id != nullptr) of_id[k * I] += d;
    }
  });
  dense.multiply(H, s.obs, rows, d_given.data(), 1, H, obs, s.obs, g.in_weight, I, true);
}

}  // namespace powqmix
