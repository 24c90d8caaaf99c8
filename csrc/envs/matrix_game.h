// Matrix games: one shared payoff for each joint action, nothing to see.
//
// They show in a few numbers what a value factorization can represent. Every agent always observes the same
// constant, as does the state; the reward of a step is the payoff of the joint action; the last step
// terminates.
#pragma once

#include <string>
#include <vector>

#include "envs/batched_env.h"

namespace powqmix {

class MatrixGame : public BatchedEnv {
 public:
  // payoff: [n_actions] * n_agents flattened, agent 0's action outermost. Throws std::invalid_argument on
  // another size or if episode_limit is below 1.
  MatrixGame(const std::string& id, std::vector<float> payoff, int n_agents, int n_actions, int episode_limit,
             const BatchOptions& batch);

 protected:
  void start_episode(int e) override { steps_[e] = 0; }
  StepResult play(int e, const int32_t* actions) override;
  void observe(int e, float* obs, float* state, uint8_t* avail) const override;
  std::string save_game(int e) const override;
  bool load_game(int e, const std::string& bytes) override;

 private:
  std::vector<float> payoff_;
  std::vector<int32_t> steps_;  // [E] steps played in this episode
};

}  // namespace powqmix
