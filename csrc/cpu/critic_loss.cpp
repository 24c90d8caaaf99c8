#include "cpu/critic_loss.h"

#include <vector>

#include "powqmix/ops.h"

namespace powqmix {

void critic_loss(const CriticShape& shape, const CriticTensors<const float>& p, const CriticTensors<float>& g,
                 const CriticBatch& batch, float* loss) {
  using Floats = std::vector<float>;
  const AgentSequenceShape& s = shape.agent;
  const int64_t rows = shape.rows(), values = rows * s.agents, A = s.actions, H = s.hidden;
  Floats x(static_cast<size_t>(values * H)), rows_hidden(x.size()), saved(4 * x.size()), hidden(x.size());
  Floats q(static_cast<size_t>(values * A)), taken(static_cast<size_t>(values)), d_taken(taken.size());
  Floats memory(static_cast<size_t>(shape.mixer().memory())), q_star(static_cast<size_t>(rows)),
      d_q_star(q_star.size());
  const AgentSequenceMemory kept{x.data(), rows_hidden.data(), saved.data()};

  agent_sequence_forward(s, p.agent, batch.obs, batch.last_actions, kept, q.data(), hidden.data());
  for (int64_t k = 0; k < values; ++k) taken[k] = q[k * A + batch.actions[k]];
  central_mixer_forward(shape.mixer(), p.mixer, taken.data(), batch.state, memory.data(), q_star.data());
  cpu::weighted_loss(rows, q_star.data(), batch.target, batch.share, nullptr, loss, d_q_star.data(), 1);
  central_mixer_backward(shape.mixer(), p.mixer, g.mixer, batch.state, memory.data(), d_q_star.data(),
                         d_taken.data());
  q.assign(q.size(), 0.0f);  // from here on its gradient
  for (int64_t k = 0; k < values; ++k) q[k * A + batch.actions[k]] = d_taken[k];
  agent_sequence_backward(s, p.agent, g.agent, batch.obs, batch.last_actions, kept, q.data(), nullptr);
}

}  // namespace powqmix
