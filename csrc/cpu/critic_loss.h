// The critic's loss and its gradient on a batch of few rows, in one call: the agent over whole episodes, the
// central mixer, the squared error, and all of it backward.
//
// L_star = 0.5 sum(share (Q^* - target)^2) (Eq. 13 of arXiv 2405.08036).
#pragma once

#include <cstdint>

#include "cpu/agent_sequence.h"
#include "cpu/mixers.h"

namespace powqmix {

struct CriticShape {
  AgentSequenceShape agent;
  int state_size, hidden_size;  // S, and H of the mixer
  int rows() const { return static_cast<int>(agent.episodes * agent.steps); }
  CentralMixerShape mixer() const {
    return {rows(), static_cast<int>(agent.agents), state_size, hidden_size};
  }
};

template <typename T>
struct CriticTensors {
  AgentTensors<T> agent;
  CentralMixerTensors<T> mixer;
};

struct CriticBatch {
  const float* obs;             // [B, T, N, O]
  const int64_t* last_actions;  // [B, T, N]; null where they are not used
  const float* state;           // [B, T, S]
  const int64_t* actions;       // [B, T, N]
  const float* target;          // [B, T]
  const float* share;           // [B, T]
};

// loss [1] and the gradients of all parameters.
void critic_loss(const CriticShape& shape, const CriticTensors<const float>& parameters,
                 const CriticTensors<float>& gradients, const CriticBatch& batch, float* loss);

}  // namespace powqmix
