// The mathematics of the ops, one row at a time, the same for C++ and CUDA. Equations: arXiv 2405.08036.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define POWQMIX_HD __host__ __device__ __forceinline__
#else
#define POWQMIX_HD inline
#endif

namespace powqmix {

// Sizes of a batch: B episodes of T steps.
struct BatchShape {
  int64_t episodes, steps;
  POWQMIX_HD int64_t rows() const { return episodes * steps; }
};

// The best legal action of a row q [A]: highest value, ties to the lowest index. No legal action: -1. NaN is
// below everything.
POWQMIX_HD int64_t best_legal(const float* q, const uint8_t* avail, int n_actions) {
  int64_t best = -1;
  for (int a = 0; a < n_actions; ++a) {
    if (avail[a] && (best < 0 || q[a] > q[best] || (q[best] != q[best] && q[a] == q[a]))) best = a;
  }
  return best;
}

// What the gradient of a row goes to, in one word of 32 bits, so that it is read quickly: the action that was
// taken and the best one, each below kMostActions; best is -1 where no action is legal.
constexpr int kMostActions = 65535;
struct Choice {
  int taken, best;
};
POWQMIX_HD int32_t packed(Choice choice) {
  return static_cast<int32_t>(static_cast<uint32_t>(choice.best + 1) << 16 |
                              static_cast<uint32_t>(choice.taken));
}
POWQMIX_HD Choice unpacked(int32_t word) {
  const uint32_t bits = static_cast<uint32_t>(word);
  return {static_cast<int>(bits & 0xffff), static_cast<int>(bits >> 16) - 1};
}

// lambda_i = sum_k |w1_k| |w2_k| of one agent: w1, w2 [K].
POWQMIX_HD float hyper_scale(const float* w1, const float* w2, int embed) {
  float sum = 0.0f;
  for (int k = 0; k < embed; ++k) sum += fabsf(w1[k]) * fabsf(w2[k]);
  return sum;
}

POWQMIX_HD float sign_of(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f; }

// sum_i lambda_i A_i of one step, the agents in order: scales, q_taken, q_max [N].
POWQMIX_HD float joint_advantage(const float* scales, const float* q_taken, const float* q_max,
                                 int n_agents) {
  float sum = 0.0f;
  for (int i = 0; i < n_agents; ++i) sum += scales[i] * (q_taken[i] - q_max[i]);
  return sum;
}

// y = r + discount [(1 - L) next + L y'] (Eq. 15), where y' is the target one step later; at an episode's
// last filled step y = r + discount next.
POWQMIX_HD float td_lambda_step(float reward, float discount, float next_value, float later, float td_lambda,
                                bool last) {
  const float ahead = last ? next_value : (1.0f - td_lambda) * next_value + td_lambda * later;
  return reward + discount * ahead;
}

// A step's part in a loss (Eq. 12-14), 0.5 factor (value - target)^2, and its slope; factor 0 marks padding.
struct LossPart {
  double loss;
  float slope;
};
POWQMIX_HD LossPart squared_error(float value, float target, float factor) {
  if (factor == 0.0f) return {0.0, 0.0f};
  const float error = value - target;
  const float slope = factor * error;
  return {0.5 * static_cast<double>(slope) * error, slope};
}

// ELU and its slope, alpha = 1.
POWQMIX_HD float elu(float x) { return x > 0.0f ? x : expm1f(x); }
POWQMIX_HD float elu_slope(float x) { return x > 0.0f ? 1.0f : expf(x); }

struct HeadConstants {
  float td_lambda, recognition_tolerance, recognized_weight, other_weight;
};

// sum lambda_i A_i >= -C: Q_r(s, a) >= Q_r(s, a_hat) - C, where V cancels (Eq. 11).
POWQMIX_HD bool recognizes(const HeadConstants& c, float advantage) {
  return advantage >= -c.recognition_tolerance;
}
POWQMIX_HD float joint_weight_of(const HeadConstants& c, float advantage) {
  return recognizes(c, advantage) ? c.recognized_weight : c.other_weight;
}

// What powqmix_loss sums over steps, in this order: the losses of Q_tot, Q^* and Q_r, and the means of Q_tot,
// y, Q_r, of being recognized and of the weight.
constexpr int kLossSums = 8;

// A step's part in each of them, and the slopes of its losses. `share` is its part in a mean, not 0.
struct LossStep {
  double sums[kLossSums];
  float d_q_tot, d_q_star, d_q_r;
};
POWQMIX_HD LossStep loss_step(const HeadConstants& c, float share, float advantage, float state_value,
                              float q_tot, float q_star, float target) {
  const float weight = joint_weight_of(c, advantage), q_r = state_value + advantage;
  const LossPart tot = squared_error(q_tot, target, share * weight);
  const LossPart star = squared_error(q_star, target, share);
  const LossPart recognizer = squared_error(q_r, target, share);
  const double part = share;
  return {{tot.loss, star.loss, recognizer.loss, part * q_tot, part * target, part * q_r,
           recognizes(c, advantage) ? part : 0.0, part * weight},
          tot.slope,
          star.slope,
          recognizer.slope};
}

}  // namespace powqmix
