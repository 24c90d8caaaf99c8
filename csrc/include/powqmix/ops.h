// The ops' kernels. All tensors are C-contiguous float32 unless said otherwise; shapes are those of
// powqmix.ops.
//
// Every function exists twice: namespace cpu returns when all is done, namespace cuda queues on a stream.
// Each output element is written by one thread, sums run in one fixed order, and no step looks at padding:
// results are bit-identical from run to run and do not change with the number of padded steps.
#pragma once

#include <cstdint>

#include "powqmix/head.h"

namespace powqmix {

// Where a call runs: the CUDA stream that its kernels are queued on, or on a CPU the number of threads that
// its rows may be given to.
using Runner = uintptr_t;

// What the head reads. scales, q_taken, q_max: [B, T, N], the others [B, T].
struct HeadInputs {
  const float *scales, *state_value, *q_taken, *q_max, *next_value, *reward, *discount;
  const uint8_t* filled;
};

// What powqmix_loss reads beside the head's inputs, and what it writes. All [B, T] unless said otherwise; the
// gradients are those of the three losses, each of its own. What is optional may be null.
struct LossTensors {
  const float *q_tot, *q_star, *share;  // q_star is optional; share is 0 on unfilled steps
  float *target, *d_q_tot, *d_q_star;   // d_q_star goes with q_star
  float *d_scales, *d_state_value;      // d_scales [B, T, N]; optional, both or neither
  float* sums;                          // [kLossSums]
  double* sums_of_episodes;             // [B, kLossSums], scratch
};

#define POWQMIX_OPS                                                                                         \
  /* agent_q [rows, A], avail u8 [rows, A], actions i64 [rows] -> q_taken, q_max [rows], greedy i64 [rows], \
   * choices i32 [rows]: a packed Choice; A is at most kMostActions */                                      \
  void select_q(int64_t rows, int n_actions, const float* agent_q, const uint8_t* avail,                    \
                const int64_t* actions, float* q_taken, float* q_max, int64_t* greedy, int32_t* choices,    \
                Runner runner);                                                                             \
  /* d_agent_q [rows, A] is written whole; d_taken or d_max may be null: 0 */                               \
  void select_q_backward(int64_t rows, int n_actions, const int32_t* choices, const float* d_taken,         \
                         const float* d_max, float* d_agent_q, Runner runner);                              \
  /* w1 [rows, N, K], w2 [rows, K] -> scales [rows, N] */                                                   \
  void hyper_scales(int64_t rows, int n_agents, int embed, const float* w1, const float* w2, float* scales, \
                    Runner runner);                                                                         \
  void hyper_scales_backward(int64_t rows, int n_agents, int embed, const float* w1, const float* w2,       \
                             const float* d_scales, float* d_w1, float* d_w2, Runner runner);               \
  /* -> q_r, joint_weight, target [B, T] */                                                                 \
  void powqmix_head(BatchShape shape, int n_agents, HeadConstants constants, const HeadInputs& in,          \
                    float* q_r, float* joint_weight, float* target, Runner runner);                         \
  void powqmix_loss(BatchShape shape, int n_agents, HeadConstants constants, const HeadInputs& in,          \
                    const LossTensors& loss, Runner runner);                                                \
  /* d_scales = d_q_r A_i, d_state_value = d_q_r on filled steps, else 0 */                                 \
  void powqmix_head_backward(int64_t rows, int n_agents, const float* q_taken, const float* q_max,          \
                             const uint8_t* filled, const float* d_q_r, float* d_scales,                    \
                             float* d_state_value, Runner runner);                                          \
  void td_lambda_target(BatchShape shape, float td_lambda, const float* next_value, const float* reward,    \
                        const float* discount, const uint8_t* filled, float* target, Runner runner);        \
  /* q [rows, N], w1 [rows, N, K], b1, w2 [rows, K], b2 [rows] -> q_tot [rows] */                           \
  void monotonic_mix(int64_t rows, int n_agents, int embed, const float* q, const float* w1,                \
                     const float* b1, const float* w2, const float* b2, float* q_tot, Runner runner);       \
  /* The hidden layer is computed again; d_b2 = d_q_tot is the caller's. */                                 \
  void monotonic_mix_backward(int64_t rows, int n_agents, int embed, const float* q, const float* w1,       \
                              const float* b1, const float* w2, const float* d_q_tot, float* d_q,           \
                              float* d_w1, float* d_b1, float* d_w2, Runner runner);                        \
  /* value, target, share, weight [rows] (weight may be null: 1) -> loss [1], gradient of value [rows] */   \
  void weighted_loss(int64_t rows, const float* value, const float* target, const float* share,             \
                     const float* weight, float* loss, float* gradient, Runner runner);

namespace cpu {
POWQMIX_OPS
}
namespace cuda {
POWQMIX_OPS
}

}  // namespace powqmix
