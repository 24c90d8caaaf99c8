// The recognizer's steps on one batch of few rows: forward, gradient, clipping and Adam, all in one call.
//
// L_r = 0.5 sum(share (Q_r - target)^2), Q_r = V + sum_i A_i sum_k |w1_ik| |w2_k| (Eq. 5, Eq. 14 of arXiv
// 2405.08036).
#pragma once

#include <cstdint>

#include "cpu/adam.h"

namespace powqmix {

struct RecognizerShape {
  int rows, n_agents, n_actions, state_size, embed_size, hidden_size;  // R, N, A, S, K, H
};

// The network's parameters, or their gradients.
template <typename T>
struct RecognizerTensors {
  T* action_in;      // [N A, 2H]
  T* hidden_weight;  // [3, H, H], outputs first
  T* hidden_bias;    // [3, H]
  T* state_weight;   // [3H, S]
  T* state_bias;     // [3H]
  T* w1_weight;      // [N K, H]
  T* w1_bias;        // [N K]
  T* w2_weight;      // [K, H]
  T* w2_bias;        // [K]
  T* value_weight;   // [1, H]
  T* value_bias;     // [1]
};

struct RecognizerRows {
  const float* state;       // [R, S]
  const int64_t* actions;   // [R, N]
  const float* advantages;  // [R, N]
  const float* target;      // [R]
  const float* share;       // [R]
};

// `steps` steps of Adam. `parameters` point into adam.value, `gradients` into adam.gradient. *norm is that of
// the last step's gradient; *skipped is 1 if any step was skipped.
void recognizer_fit(const RecognizerShape& shape, const RecognizerTensors<const float>& parameters,
                    const RecognizerTensors<float>& gradients, const RecognizerRows& rows, int steps,
                    const AdamState& adam, const AdamConstants& constants, float* norm, float* skipped);

// scales [R, N] and state_value [R] of these rows; of `rows` only state and actions are read.
void recognizer_evaluate(const RecognizerShape& shape, const RecognizerTensors<const float>& parameters,
                         const RecognizerRows& rows, float* scales, float* state_value);

}  // namespace powqmix
