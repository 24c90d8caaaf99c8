#include "actor/rollout.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace powqmix {

namespace {

void require_same(const char* name, int policy, int layout) {
  if (policy != layout) {
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(policy) +
                                " in the policy's spec and " + std::to_string(layout) +
                                " in the episode schema; both must come from one EnvSpec");
  }
}

}  // namespace

Rollout::Rollout(std::unique_ptr<EnvPort> env, const PolicyShape& shape, const EpisodeLayout& layout,
                 uint64_t seed, uint64_t first_env, const std::string& isa)
    : env_(std::move(env)),
      policy_(shape, env_->num_envs, seed, first_env, isa),
      recorder_(layout, env_->num_envs, isa),
      all_(env_->num_envs),
      actions_(static_cast<size_t>(env_->num_envs) * shape.n_agents) {
  require_same("n_agents", shape.n_agents, layout.n_agents);
  require_same("n_actions", shape.n_actions, layout.n_actions);
  require_same("obs_size", shape.obs_size, layout.obs_size);
  std::iota(all_.begin(), all_.end(), 0);
}

void Rollout::reset() {
  recorder_.abort();
  env_->reset();
  ready_ = true;
}

void Rollout::begin(int e, float epsilon) {
  policy_.begin(e, epsilon);
  recorder_.begin(e, policy_.version(), epsilon);
}

void Rollout::observe(int e) {
  const EpisodeLayout& sizes = recorder_.layout();
  const size_t i = e, agents = sizes.n_agents;
  recorder_.observe(e, env_->obs + i * agents * sizes.obs_size, env_->state + i * sizes.state_size,
                    env_->avail_actions + i * agents * sizes.n_actions);
}

void Rollout::record(int e, std::vector<FinishedEpisode>& finished) {
  const EpisodeLayout& sizes = recorder_.layout();
  const size_t i = e, agents = sizes.n_agents;
  recorder_.step(e, &actions_[i * agents], env_->reward[e], env_->terminated[e] != 0);
  ++env_steps_;
  if (!env_->terminated[e] && !env_->truncated[e]) return;
  recorder_.observe(e, env_->final_obs + i * agents * sizes.obs_size,
                    env_->final_state + i * sizes.state_size,
                    env_->final_avail_actions + i * agents * sizes.n_actions);
  finished.push_back(
      recorder_.finish(e, env_->terminated[e] != 0, env_->truncated[e] != 0, env_->battle_won[e] != 0));
}

std::vector<FinishedEpisode> Rollout::advance(float epsilon, int64_t max_steps, size_t min_episodes) {
  std::vector<FinishedEpisode> finished;
  if (!ready_) reset();
  ready_ = false;  // until the step is whole: after an exception the next call starts anew
  clock_.begin();
  for (int64_t step = 0; finished.size() < min_episodes && (max_steps == 0 || step < max_steps); ++step) {
    for (const int e : all_) {
      if (!recorder_.is_open(e)) begin(e, epsilon);
      observe(e);
    }
    clock_.end(kRecordStage);
    policy_.act(all_.data(), num_envs(), env_->obs, env_->avail_actions, actions_.data());
    clock_.end(kPolicyStage);
    env_->step(actions_.data());
    clock_.end(kSimulateStage);
    for (const int e : all_) record(e, finished);
    clock_.end(kRecordStage);
  }
  ready_ = true;
  return finished;
}

std::vector<FinishedEpisode> Rollout::play_round(float epsilon) {
  const size_t agents = policy_.shape().n_agents, n_actions = policy_.shape().n_actions;
  std::vector<FinishedEpisode> finished;
  std::vector<int> playing = all_;
  reset();
  ready_ = false;  // a round starts from a reset, and so does whatever follows it
  for (const int e : all_) begin(e, epsilon);
  while (!playing.empty()) {
    for (const int e : playing) observe(e);
    policy_.act(playing.data(), static_cast<int>(playing.size()), env_->obs, env_->avail_actions,
                actions_.data());
    for (const int e : all_) {
      if (recorder_.is_open(e)) continue;
      for (size_t row = e * agents; row < (e + 1) * agents; ++row) {
        const uint8_t* legal = env_->avail_actions + row * n_actions;
        actions_[row] = static_cast<int32_t>(
            std::find_if(legal, legal + n_actions, [](uint8_t a) { return a != 0; }) - legal);
      }
    }
    env_->step(actions_.data());
    for (const int e : playing) record(e, finished);
    playing.erase(
        std::remove_if(playing.begin(), playing.end(), [this](int e) { return !recorder_.is_open(e); }),
        playing.end());
  }
  std::sort(finished.begin(), finished.end(),
            [](const FinishedEpisode& a, const FinishedEpisode& b) { return a.env < b.env; });
  return finished;
}

int Rollout::abort() {
  ready_ = false;
  return recorder_.abort();
}

}  // namespace powqmix
