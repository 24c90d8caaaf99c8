// The recurrent agent over whole episodes in one call, for batches of few rows: Linear -> ReLU -> GRU ->
// Linear.
//
// Input of agent n at step t of episode b: [obs; one-hot last action; one-hot n]. The one-hot parts are
// columns of the first layer's weight that are looked up.
#pragma once

#include <cstdint>

#include "cpu/gru_sequence.h"

namespace powqmix {

struct AgentSequenceShape {
  int64_t episodes, steps, agents, obs, actions, hidden;  // B, T, N, O, A, H
  bool use_last_action, use_agent_id;
  int64_t input() const { return obs + (use_last_action ? actions : 0) + (use_agent_id ? agents : 0); }
};

template <typename T>
struct AgentTensors {
  T* in_weight;   // [H, input]
  T* in_bias;     // [H]
  T* w_ih;        // [3H, H]
  T* w_hh;        // [3H, H]
  T* b_ih;        // [3H]
  T* b_hh;        // [3H]
  T* out_weight;  // [A, H]
  T* out_bias;    // [A]
};

// What the forward pass keeps for the gradient; rows are (episode, agent).
struct AgentSequenceMemory {
  float* x;       // [B N, T, H] what the GRU reads
  float* hidden;  // [B N, T, H]
  float* saved;   // [B N, T, 4H]
};

// q [B, T, N, A] and hidden [B, T, N, H] from obs [B, T, N, O] and last_actions i64 [B, T, N] (-1: none; null
// where they are not used).
void agent_sequence_forward(const AgentSequenceShape& shape, const AgentTensors<const float>& parameters,
                            const float* obs, const int64_t* last_actions, const AgentSequenceMemory& memory,
                            float* q, float* hidden);

// Gradients of the parameters from d_q [B, T, N, A] and d_hidden [B, T, N, H] (null: zeros).
void agent_sequence_backward(const AgentSequenceShape& shape, const AgentTensors<const float>& parameters,
                             const AgentTensors<float>& gradients, const float* obs,
                             const int64_t* last_actions, const AgentSequenceMemory& memory, const float* d_q,
                             const float* d_hidden);

}  // namespace powqmix
