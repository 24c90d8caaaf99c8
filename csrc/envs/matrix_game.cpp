#include "envs/matrix_game.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace powqmix {

namespace {

EnvSpec matrix_spec(const std::string& id, size_t payoffs, int n_agents, int n_actions, int episode_limit) {
  size_t joint = 1;  // stops growing beyond `payoffs`, so it cannot overflow
  for (int agent = 0; agent < n_agents && joint <= payoffs; ++agent) joint *= std::max(n_actions, 0);
  if (n_agents < 1 || n_actions < 1 || joint != payoffs) {
    throw std::invalid_argument(id + ": " + std::to_string(payoffs) +
                                " payoffs are not n_actions ** n_agents (" + std::to_string(n_actions) +
                                " ** " + std::to_string(n_agents) + ")");
  }
  if (episode_limit < 1) {
    throw std::invalid_argument(id + ": episode_limit must be at least 1, got " +
                                std::to_string(episode_limit));
  }
  EnvSpec spec;
  spec.id = id;
  spec.version = "matrix v1";
  spec.n_agents = n_agents;
  spec.n_actions = n_actions;
  spec.obs_size = spec.state_size = 1;
  spec.episode_limit = episode_limit;
  return spec;
}

}  // namespace

MatrixGame::MatrixGame(const std::string& id, std::vector<float> payoff, int n_agents, int n_actions,
                       int episode_limit, const BatchOptions& batch)
    : BatchedEnv(matrix_spec(id, payoff.size(), n_agents, n_actions, episode_limit), batch),
      payoff_(std::move(payoff)),
      steps_(num_envs(), 0) {}

StepResult MatrixGame::play(int e, const int32_t* actions) {
  size_t joint = 0;
  for (int agent = 0; agent < spec().n_agents; ++agent) joint = joint * spec().n_actions + actions[agent];
  StepResult result;
  result.reward = payoff_[joint];
  result.terminated = ++steps_[e] >= spec().episode_limit;
  return result;
}

void MatrixGame::observe(int, float* obs, float* state, uint8_t* avail) const {
  std::fill_n(obs, spec().n_agents, 1.0f);
  state[0] = 1.0f;
  std::fill_n(avail, spec().n_agents * spec().n_actions, uint8_t{1});
}

std::string MatrixGame::save_game(int e) const {
  return std::string(reinterpret_cast<const char*>(&steps_[e]), sizeof(int32_t));
}

bool MatrixGame::load_game(int e, const std::string& bytes) {
  int32_t steps = -1;
  if (bytes.size() == sizeof(steps)) std::memcpy(&steps, bytes.data(), sizeof(steps));
  if (steps < 0 || steps >= spec().episode_limit) return false;
  steps_[e] = steps;
  return true;
}

}  // namespace powqmix
