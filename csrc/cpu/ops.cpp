// The ops on the CPU: rows one after the other, in chunks that threads take. A row has one writer and
// its sums one order, so the number of threads changes no bit.
#include "powqmix/ops.h"

#include <algorithm>

#include "cpu/dense.h"
#include "cpu/parallel.h"

namespace powqmix {
namespace cpu {

namespace {

// The last filled step of an episode; -1 where none is.
int64_t last_filled(const uint8_t* filled, int64_t steps) {
  int64_t last = steps - 1;
  while (last >= 0 && !filled[last]) --last;
  return last;
}

// Targets of kEpisodes episodes, from row `first` on. Each episode's is a chain of steps that wait for one
// another, so a few of them go side by side.
template <int kEpisodes>
void targets_side_by_side(int64_t steps, float td_lambda, const HeadInputs& in, int64_t first,
                          float* target) {
  int64_t last[kEpisodes];
  float later[kEpisodes] = {};
  for (int e = 0; e < kEpisodes; ++e) last[e] = last_filled(in.filled + first + e * steps, steps);
  for (int64_t t = steps - 1; t >= 0; --t) {
    for (int e = 0; e < kEpisodes; ++e) {
      const int64_t row = first + e * steps + t;
      const float y = td_lambda_step(in.reward[row], in.discount[row], in.next_value[row], later[e],
                                     td_lambda, t == last[e]);
      target[row] = later[e] = in.filled[row] ? y : 0.0f;
    }
  }
}

void targets_of_episodes(int64_t episodes, int64_t steps, float td_lambda, const HeadInputs& in,
                         int64_t first, float* target) {
  int64_t done = 0;
  for (; done + 4 <= episodes; done += 4) {
    targets_side_by_side<4>(steps, td_lambda, in, first + done * steps, target);
  }
  for (; done < episodes; ++done) targets_side_by_side<1>(steps, td_lambda, in, first + done * steps, target);
}

float advantage_of_row(const HeadInputs& in, int64_t row, int n_agents) {
  const int64_t first = row * n_agents;
  return joint_advantage(in.scales + first, in.q_taken + first, in.q_max + first, n_agents);
}

// advantage_of_row for `rows` rows from `first` on: all products, then the sums, which is what vectors are
// for. Unfilled rows are computed too, and left unread.
void advantages_of_rows(const HeadInputs& in, int64_t first, int64_t rows, int n_agents, float* advantages) {
  constexpr int64_t kTerms = 2048;
  float terms[kTerms];
  const int64_t rows_at_once = kTerms / std::max(1, n_agents);
  for (int64_t row = 0; row < rows; row += std::max<int64_t>(1, rows_at_once)) {
    if (rows_at_once == 0) {
      advantages[row] = advantage_of_row(in, first + row, n_agents);
      continue;
    }
    const int64_t count = std::min(rows_at_once, rows - row), at = (first + row) * n_agents;
    const float *scales = in.scales + at, *q_taken = in.q_taken + at, *q_max = in.q_max + at;
    for (int64_t k = 0; k < count * n_agents; ++k) terms[k] = scales[k] * (q_taken[k] - q_max[k]);
    for (int64_t r = 0; r < count; ++r) {
      float sum = 0.0f;
      for (int i = 0; i < n_agents; ++i) sum += terms[r * n_agents + i];
      advantages[row + r] = sum;
    }
  }
}

void loss_of_episode(int64_t steps, int n_agents, HeadConstants constants, const HeadInputs& in,
                     const LossTensors& loss, int64_t episode) {
  const int64_t first = episode * steps;
  double* sums = loss.sums_of_episodes + episode * kLossSums;
  std::fill_n(sums, kLossSums, 0.0);
  for (int64_t row = first; row < first + steps; ++row) {
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

// body(first row, number of rows) over all rows, on the runner's threads where there are bytes enough to pay
// for waking them.
template <typename Body>
void over_rows(Runner runner, int64_t rows, int64_t bytes_of_row, const Body& body) {
  constexpr int64_t kBytesOfChunk = int64_t{1} << 18, kChunksWorthIt = 8;
  const bool worth_it = runner > 1 && rows * bytes_of_row >= kChunksWorthIt * kBytesOfChunk;
  if (!worth_it) return body(0, rows);
  // Of 16 rows or a multiple, so that matrices of any width begin with a vector in every chunk.
  const int64_t chunk = kBytesOfChunk / bytes_of_row / 16 * 16 + 16;
  for_chunks(static_cast<int>(runner), rows, chunk,
             [&](int64_t begin, int64_t end) { body(begin, end - begin); });
}

// Whether a result of so many numbers is too large for a near cache to hold it for its reader.
bool in_no_cache(int64_t count) { return count * 4 >= int64_t{8} << 20; }

const float* at(const float* optional, int64_t row) { return optional == nullptr ? nullptr : optional + row; }

}  // namespace

void select_q(int64_t rows, int n_actions, const float* agent_q, const uint8_t* avail, const int64_t* actions,
              float* q_taken, float* q_max, int64_t* greedy, int32_t* choices, Runner runner) {
  over_rows(runner, rows, 5 * n_actions, [&](int64_t row, int64_t count) {
    dense_kernels().select_q(count, n_actions, agent_q + row * n_actions, avail + row * n_actions,
                             actions + row, q_taken + row, q_max + row, greedy + row, choices + row);
  });
}

void select_q_backward(int64_t rows, int n_actions, const int32_t* choices, const float* d_taken,
                       const float* d_max, float* d_agent_q, Runner runner) {
  const bool past_caches = in_no_cache(rows * n_actions);
  over_rows(runner, rows, 4 * n_actions, [&](int64_t row, int64_t count) {
    dense_kernels().select_q_backward(count, n_actions, choices + row, at(d_taken, row), at(d_max, row),
                                      d_agent_q + row * n_actions, past_caches);
  });
}

void hyper_scales(int64_t rows, int n_agents, int embed, const float* w1, const float* w2, float* scales,
                  Runner runner) {
  over_rows(runner, rows, 4 * embed * (n_agents + 1), [&](int64_t row, int64_t count) {
    dense_kernels().hyper_scales(count, n_agents, embed, w1 + row * n_agents * embed, w2 + row * embed,
                                 scales + row * n_agents);
  });
}

void hyper_scales_backward(int64_t rows, int n_agents, int embed, const float* w1, const float* w2,
                           const float* d_scales, float* d_w1, float* d_w2, Runner runner) {
  const bool past_caches = in_no_cache(rows * n_agents * embed);
  over_rows(runner, rows, 8 * embed * (n_agents + 1), [&](int64_t row, int64_t count) {
    const int64_t first = row * n_agents * embed;
    dense_kernels().hyper_scales_backward(count, n_agents, embed, w1 + first, w2 + row * embed,
                                          d_scales + row * n_agents, d_w1 + first, d_w2 + row * embed,
                                          past_caches);
  });
}

void powqmix_head(BatchShape shape, int n_agents, HeadConstants constants, const HeadInputs& in, float* q_r,
                  float* joint_weight, float* target, Runner runner) {
  over_rows(runner, shape.episodes, shape.steps * (12 * n_agents + 28), [&](int64_t episode, int64_t count) {
    targets_of_episodes(count, shape.steps, constants.td_lambda, in, episode * shape.steps, target);
    for (const int64_t end = episode + count; episode < end; ++episode) {
      const int64_t first = episode * shape.steps;
      advantages_of_rows(in, first, shape.steps, n_agents, q_r + first);
      for (int64_t row = first; row < first + shape.steps; ++row) {
        const float advantage = q_r[row];
        q_r[row] = in.filled[row] ? in.state_value[row] + advantage : 0.0f;
        joint_weight[row] = in.filled[row] ? joint_weight_of(constants, advantage) : 0.0f;
      }
    }
  });
}

// The sums of an episode are added first, then those of the episodes, whoever computed them.
void powqmix_loss(BatchShape shape, int n_agents, HeadConstants constants, const HeadInputs& in,
                  const LossTensors& loss, Runner runner) {
  over_rows(runner, shape.episodes, shape.steps * (16 * n_agents + 52), [&](int64_t episode, int64_t count) {
    targets_of_episodes(count, shape.steps, constants.td_lambda, in, episode * shape.steps, loss.target);
    for (const int64_t end = episode + count; episode < end; ++episode) {
      loss_of_episode(shape.steps, n_agents, constants, in, loss, episode);
    }
  });
  double sums[kLossSums] = {};
  for (int64_t k = 0; k < shape.episodes * kLossSums; ++k) sums[k % kLossSums] += loss.sums_of_episodes[k];
  for (int k = 0; k < kLossSums; ++k) loss.sums[k] = static_cast<float>(sums[k]);
}

void powqmix_head_backward(int64_t rows, int n_agents, const float* q_taken, const float* q_max,
                           const uint8_t* filled, const float* d_q_r, float* d_scales, float* d_state_value,
                           Runner runner) {
  over_rows(runner, rows, 12 * n_agents + 9, [&](int64_t row, int64_t count) {
    for (const int64_t end = row + count; row < end; ++row) {
      const int64_t first = row * n_agents;
      d_state_value[row] = filled[row] ? d_q_r[row] : 0.0f;
      if (!filled[row]) {
        std::fill_n(d_scales + first, n_agents, 0.0f);
        continue;
      }
      const float *taken = q_taken + first, *best = q_max + first, d = d_q_r[row];
      float* to = d_scales + first;
      for (int i = 0; i < n_agents; ++i) to[i] = d * (taken[i] - best[i]);
    }
  });
}

void td_lambda_target(BatchShape shape, float td_lambda, const float* next_value, const float* reward,
                      const float* discount, const uint8_t* filled, float* target, Runner) {
  HeadInputs in{};
  in.next_value = next_value, in.reward = reward, in.discount = discount, in.filled = filled;
  targets_of_episodes(shape.episodes, shape.steps, td_lambda, in, 0, target);
}

void monotonic_mix(int64_t rows, int n_agents, int embed, const float* q, const float* w1, const float* b1,
                   const float* w2, const float* b2, float* q_tot, Runner runner) {
  over_rows(runner, rows, 4 * embed * (n_agents + 2), [&](int64_t row, int64_t count) {
    dense_kernels().monotonic_mix(count, n_agents, embed, q + row * n_agents, w1 + row * n_agents * embed,
                                  b1 + row * embed, w2 + row * embed, b2 + row, q_tot + row);
  });
}

void monotonic_mix_backward(int64_t rows, int n_agents, int embed, const float* q, const float* w1,
                            const float* b1, const float* w2, const float* d_q_tot, float* d_q, float* d_w1,
                            float* d_b1, float* d_w2, Runner runner) {
  const bool past_caches = in_no_cache(rows * n_agents * embed);
  over_rows(runner, rows, 8 * embed * (n_agents + 2), [&](int64_t row, int64_t count) {
    const int64_t agent = row * n_agents, first = agent * embed, of_row = row * embed;
    dense_kernels().monotonic_mix_backward(count, n_agents, embed, q + agent, w1 + first, b1 + of_row,
                                           w2 + of_row, d_q_tot + row, d_q + agent, d_w1 + first,
                                           d_b1 + of_row, d_w2 + of_row, past_caches);
  });
}

// One thread: it reads four numbers a row, and the sum has one order.
void weighted_loss(int64_t rows, const float* value, const float* target, const float* share,
                   const float* weight, float* loss, float* gradient, Runner) {
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
