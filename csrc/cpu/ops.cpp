// The ops on the CPU: rows one after the other, in the calling thread.
#include "powqmix/ops.h"

#include <algorithm>
#include <cstring>

#include "cpu/dense.h"

namespace powqmix {
namespace cpu {

namespace {

// The last filled step of each episode; -1 where none is.
int64_t last_filled(const uint8_t* filled, int64_t steps) {
  int64_t last = steps - 1;
  while (last >= 0 && !filled[last]) --last;
  return last;
}

void targets_of_episode(int64_t steps, float td_lambda, const float* next_value, const float* reward,
                        const float* discount, const uint8_t* filled, float* target) {
  const int64_t last = last_filled(filled, steps);
  std::fill(target + last + 1, target + steps, 0.0f);
  float later = 0.0f;
  for (int64_t t = last; t >= 0; --t) {
    later =
        filled[t] ? td_lambda_step(reward[t], discount[t], next_value[t], later, td_lambda, t == last) : 0.0f;
    target[t] = later;
  }
}

float advantage_of_row(const HeadInputs& in, int64_t row, int n_agents) {
  const int64_t first = row * n_agents;
  return joint_advantage(in.scales + first, in.q_taken + first, in.q_max + first, n_agents);
}

}  // namespace

void select_q(int64_t rows, int n_actions, const float* agent_q, const uint8_t* avail, const int64_t* actions,
              float* q_taken, float* q_max, int64_t* greedy, int32_t* best, Stream) {
  dense_kernels().select_q(rows, n_actions, agent_q, avail, actions, q_taken, q_max, greedy, best);
}

void select_q_backward(int64_t rows, int n_actions, const int64_t* actions, const int32_t* best,
                       const float* d_taken, const float* d_max, float* d_agent_q, Stream) {
  dense_kernels().select_q_backward(rows, n_actions, actions, best, d_taken, d_max, d_agent_q);
}

void hyper_scales(int64_t rows, int n_agents, int embed, const float* w1, const float* w2, float* scales,
                  Stream) {
  dense_kernels().hyper_scales(rows, n_agents, embed, w1, w2, scales);
}

void hyper_scales_backward(int64_t rows, int n_agents, int embed, const float* w1, const float* w2,
                           const float* d_scales, float* d_w1, float* d_w2, Stream) {
  dense_kernels().hyper_scales_backward(rows, n_agents, embed, w1, w2, d_scales, d_w1, d_w2);
}

void powqmix_head(BatchShape shape, int n_agents, HeadConstants constants, const HeadInputs& in, float* q_r,
                  float* joint_weight, float* target, Stream) {
  for (int64_t episode = 0; episode < shape.episodes; ++episode) {
    const int64_t first = episode * shape.steps;
    targets_of_episode(shape.steps, constants.td_lambda, in.next_value + first, in.reward + first,
                       in.discount + first, in.filled + first, target + first);
    for (int64_t row = first; row < first + shape.steps; ++row) {
      if (!in.filled[row]) {
        q_r[row] = joint_weight[row] = 0.0f;
        continue;
      }
      const float advantage = advantage_of_row(in, row, n_agents);
      q_r[row] = in.state_value[row] + advantage;
      joint_weight[row] = joint_weight_of(constants, advantage);
    }
  }
}

void powqmix_loss(BatchShape shape, int n_agents, HeadConstants constants, const HeadInputs& in,
                  const LossTensors& loss, Stream) {
  double sums[kLossSums] = {};
  for (int64_t episode = 0; episode < shape.episodes; ++episode) {
    const int64_t first = episode * shape.steps;
    targets_of_episode(shape.steps, constants.td_lambda, in.next_value + first, in.reward + first,
                       in.discount + first, in.filled + first, loss.target + first);
    for (int64_t row = first; row < first + shape.steps; ++row) {
      LossStep step{};
      if (in.filled[row] && loss.share[row] != 0.0f) {
        const float target = loss.target[row];
        step = loss_step(constants, loss.share[row], advantage_of_row(in, row, n_agents), in.state_value[row],
                         loss.q_tot[row], loss.q_star != nullptr ? loss.q_star[row] : target, target);
        for (int k = 0; k < kLossSums; ++k) sums[k] += step.sums[k];
      }
      loss.d_q_tot[row] = step.d_q_tot;
      if (loss.q_star != nullptr) loss.d_q_star[row] = step.d_q_star;
      if (loss.d_scales == nullptr) continue;
      loss.d_state_value[row] = step.d_q_r;
      for (int64_t i = row * n_agents; i < (row + 1) * n_agents; ++i) {
        loss.d_scales[i] = step.d_q_r != 0.0f ? step.d_q_r * (in.q_taken[i] - in.q_max[i]) : 0.0f;
      }
    }
  }
  for (int k = 0; k < kLossSums; ++k) loss.sums[k] = static_cast<float>(sums[k]);
}

void powqmix_head_backward(int64_t rows, int n_agents, const float* q_taken, const float* q_max,
                           const uint8_t* filled, const float* d_q_r, float* d_scales, float* d_state_value,
                           Stream) {
  for (int64_t row = 0; row < rows; ++row) {
    d_state_value[row] = filled[row] ? d_q_r[row] : 0.0f;
    for (int64_t i = row * n_agents; i < (row + 1) * n_agents; ++i) {
      d_scales[i] = filled[row] ? d_q_r[row] * (q_taken[i] - q_max[i]) : 0.0f;
    }
  }
}

void td_lambda_target(BatchShape shape, float td_lambda, const float* next_value, const float* reward,
                      const float* discount, const uint8_t* filled, float* target, Stream) {
  for (int64_t first = 0; first < shape.rows(); first += shape.steps) {
    targets_of_episode(shape.steps, td_lambda, next_value + first, reward + first, discount + first,
                       filled + first, target + first);
  }
}

void monotonic_mix(int64_t rows, int n_agents, int embed, const float* q, const float* w1, const float* b1,
                   const float* w2, const float* b2, float* q_tot, Stream) {
  dense_kernels().monotonic_mix(rows, n_agents, embed, q, w1, b1, w2, b2, q_tot);
}

void monotonic_mix_backward(int64_t rows, int n_agents, int embed, const float* q, const float* w1,
                            const float* b1, const float* w2, const float* d_q_tot, float* d_q, float* d_w1,
                            float* d_b1, float* d_w2, Stream) {
  dense_kernels().monotonic_mix_backward(rows, n_agents, embed, q, w1, b1, w2, d_q_tot, d_q, d_w1, d_b1,
                                         d_w2);
}

void weighted_loss(int64_t rows, const float* value, const float* target, const float* share,
                   const float* weight, float* loss, float* gradient, Stream) {
  double sum = 0.0;
  for (int64_t row = 0; row < rows; ++row) {
    const float factor = share[row] == 0.0f  ? 0.0f
                         : weight == nullptr ? share[row]
                                             : share[row] * weight[row];
    const LossPart part = squared_error(value[row], target[row], factor);
    gradient[row] = part.slope;
    sum += part.loss;
  }
  *loss = static_cast<float>(sum);
}

}  // namespace cpu
}  // namespace powqmix
