#include "envs/batched_env.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "cpu/parallel.h"

namespace powqmix {

namespace {

int at_least_one(int value, const char* name) {
  if (value < 1) {
    throw std::invalid_argument(std::string(name) + " must be at least 1, got " + std::to_string(value));
  }
  return value;
}

constexpr size_t kStateWords =
    5;  // before the game's bytes: fingerprint, seed, env index, episodes, position

}  // namespace

BatchedEnv::BatchedEnv(EnvSpec spec, const BatchOptions& batch)
    : spec_(std::move(spec)),
      num_envs_(at_least_one(batch.num_envs, "num_envs")),
      num_threads_(at_least_one(batch.num_threads, "num_threads")),
      keys_(num_envs_),
      streams_(num_envs_) {
  for (int e = 0; e < num_envs_; ++e) keys_[e] = {batch.seed, batch.first_env + e, 0};
  const size_t envs = num_envs_, agents = spec_.n_agents;
  obs.assign(envs * agents * spec_.obs_size, 0.0f);
  state.assign(envs * spec_.state_size, 0.0f);
  avail_actions.assign(envs * agents * spec_.n_actions, 0);
  reward.assign(envs, 0.0f);
  terminated.assign(envs, 0);
  truncated.assign(envs, 0);
  battle_won.assign(envs, 0);
  final_obs = obs;
  final_state = state;
  final_avail_actions = avail_actions;
}

void BatchedEnv::observe_current(int e) {
  const size_t agents = spec_.n_agents, i = e;
  observe(e, &obs[i * agents * spec_.obs_size], &state[i * spec_.state_size],
          &avail_actions[i * agents * spec_.n_actions]);
}

void BatchedEnv::begin(int e) {
  Key& key = keys_[e];
  streams_[e] = RandomStream(key.seed, key.env_index, key.episodes++);
  start_episode(e);
  observe_current(e);
}

void BatchedEnv::show(int e) {
  observe_current(e);
  reward[e] = 0.0f;
  terminated[e] = truncated[e] = battle_won[e] = 0;
}

void BatchedEnv::for_envs(const std::function<void(int)>& body) const {
  const int threads = std::min(num_threads_, num_envs_);
  constexpr int kTurns = 4;  // of a thread: one that wakes late leaves its turns to the others
  for_chunks(threads, num_envs_, equal_chunk(num_envs_, kTurns * threads), [&](int64_t first, int64_t last) {
    for (int e = static_cast<int>(first); e < last; ++e) body(e);
  });
}

void BatchedEnv::reset() {
  for_envs([&](int e) {
    begin(e);
    reward[e] = 0.0f;
    terminated[e] = truncated[e] = battle_won[e] = 0;
  });
}

void BatchedEnv::check(const int32_t* actions) const {
  const int64_t rows = static_cast<int64_t>(num_envs_) * spec_.n_agents;
  for (int64_t row = 0; row < rows; ++row) {
    const int32_t action = actions[row];
    const uint8_t* avail = &avail_actions[row * spec_.n_actions];
    const bool in_range = action >= 0 && action < spec_.n_actions;
    if (in_range && avail[action]) continue;
    std::string text = spec_.id + ": env " + std::to_string(row / spec_.n_agents) + ", agent " +
                       std::to_string(row % spec_.n_agents) + ": action " + std::to_string(action) +
                       (in_range ? " is not legal now" : " does not exist") + "; legal:";
    bool any = false;
    for (int a = 0; a < spec_.n_actions; ++a) {
      if (avail[a]) text += " " + std::to_string(a), any = true;
    }
    throw std::invalid_argument(any ? text : text + " none, call reset() first");
  }
}

void BatchedEnv::step(const int32_t* actions) {
  check(actions);
  const size_t agents = spec_.n_agents;
  const size_t obs_row = agents * spec_.obs_size, state_row = spec_.state_size,
               avail_row = agents * spec_.n_actions;
  try {
    for_envs([&](int e) {
      const size_t i = e;
      const StepResult result = play(e, actions + i * agents);
      reward[e] = result.reward;
      terminated[e] = result.terminated;
      truncated[e] = result.truncated;
      battle_won[e] = result.battle_won;
      if (result.terminated || result.truncated) {
        observe(e, &final_obs[i * obs_row], &final_state[i * state_row], &final_avail_actions[i * avail_row]);
        begin(e);
      } else {
        observe_current(e);
      }
    });
  } catch (...) {  // some environments have stepped, others not: only reset() leads out of it
    std::fill(avail_actions.begin(), avail_actions.end(), uint8_t{0});
    throw;
  }
}

void BatchedEnv::require_env(int e) const {
  if (e < 0 || e >= num_envs_) {
    throw std::invalid_argument(spec_.id + ": there is no env " + std::to_string(e) + "; this batch has " +
                                std::to_string(num_envs_));
  }
}

void BatchedEnv::require_begun(int e) const {
  require_env(e);
  if (keys_[e].episodes == 0) throw std::invalid_argument(spec_.id + ": call reset() first");
}

// FNV-1a over what a saved game's meaning depends on, so that bytes of another environment are refused.
uint64_t BatchedEnv::fingerprint() const {
  const std::string text = spec_.id + '|' + spec_.version + '|' + std::to_string(spec_.n_agents) + '|' +
                           std::to_string(spec_.n_actions) + '|' + std::to_string(spec_.obs_size) + '|' +
                           std::to_string(spec_.state_size) + '|' + std::to_string(spec_.episode_limit);
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const unsigned char byte : text) hash = (hash ^ byte) * 0x100000001B3ull;
  return hash;
}

std::string BatchedEnv::get_state(int e) const {
  require_begun(e);
  const Key& key = keys_[e];
  const uint64_t words[kStateWords] = {fingerprint(), key.seed, key.env_index, key.episodes,
                                       streams_[e].position()};
  return std::string(reinterpret_cast<const char*>(words), sizeof(words)) + save_game(e);
}

void BatchedEnv::set_state(int e, const std::string& bytes) {
  require_env(e);
  uint64_t words[kStateWords] = {};
  if (bytes.size() >= sizeof(words)) std::memcpy(words, bytes.data(), sizeof(words));
  const auto [print, seed, env_index, episodes, position] = words;
  if (bytes.size() < sizeof(words) || print != fingerprint() || episodes == 0 ||
      !load_game(e, bytes.substr(sizeof(words)))) {
    throw std::invalid_argument(spec_.id + ": these " + std::to_string(bytes.size()) +
                                " bytes are not a state of this environment with these options");
  }
  keys_[e] = {seed, env_index, episodes};
  streams_[e] = RandomStream(seed, env_index, episodes - 1);
  streams_[e].seek(position);
  show(e);
}

}  // namespace powqmix
