#include "envs/batched_env.h"

#include <cstring>
#include <stdexcept>

namespace powqmix {

namespace {

int at_least_one(int value, const char* name) {
  if (value < 1) {
    throw std::invalid_argument(std::string(name) + " must be at least 1, got " + std::to_string(value));
  }
  return value;
}

template <typename T>
void append(std::string& bytes, const T* data, size_t count) {
  bytes.append(reinterpret_cast<const char*>(data), count * sizeof(T));
}

template <typename T>
void take(const char*& from, T* data, size_t count) {
  std::memcpy(data, from, count * sizeof(T));
  from += count * sizeof(T);
}

}  // namespace

BatchedEnv::BatchedEnv(EnvSpec spec, int num_envs, uint64_t seed, int num_threads, uint64_t first_env)
    : spec_(std::move(spec)),
      num_envs_(at_least_one(num_envs, "num_envs")),
      seed_(seed),
      first_env_(first_env),
      episodes_(num_envs, 0),
      streams_(num_envs),
      pool_(at_least_one(num_threads, "num_threads")) {
  const size_t envs = num_envs, agents = spec_.n_agents;
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

void BatchedEnv::begin(int e) {
  streams_[e] = RandomStream(seed_, first_env_ + e, episodes_[e]++);
  start_episode(e);
  const size_t agents = spec_.n_agents, i = e;
  observe(e, &obs[i * agents * spec_.obs_size], &state[i * spec_.state_size],
          &avail_actions[i * agents * spec_.n_actions]);
}

void BatchedEnv::reset() {
  pool_.for_ranges(num_envs_, [&](int64_t first, int64_t last) {
    for (int e = static_cast<int>(first); e < last; ++e) {
      begin(e);
      reward[e] = 0.0f;
      terminated[e] = truncated[e] = battle_won[e] = 0;
    }
  });
  started_ = true;
}

void BatchedEnv::check(const int32_t* actions) const {
  if (!started_) throw std::invalid_argument(spec_.id + ": call reset() before step()");
  const int rows = num_envs_ * spec_.n_agents;
  for (int row = 0; row < rows; ++row) {
    const int32_t action = actions[row];
    const bool in_range = action >= 0 && action < spec_.n_actions;
    if (in_range && avail_actions[static_cast<size_t>(row) * spec_.n_actions + action]) continue;
    std::string text = spec_.id + ": env " + std::to_string(row / spec_.n_agents) + ", agent " +
                       std::to_string(row % spec_.n_agents) + ": action " + std::to_string(action) +
                       (in_range ? " is not legal now" : " does not exist") + "; legal:";
    for (int a = 0; a < spec_.n_actions; ++a) {
      if (avail_actions[static_cast<size_t>(row) * spec_.n_actions + a]) text += " " + std::to_string(a);
    }
    throw std::invalid_argument(text);
  }
}

void BatchedEnv::step(const int32_t* actions) {
  check(actions);
  const size_t agents = spec_.n_agents;
  const size_t obs_row = agents * spec_.obs_size, state_row = spec_.state_size,
               avail_row = agents * spec_.n_actions;
  pool_.for_ranges(num_envs_, [&](int64_t first, int64_t last) {
    for (int e = static_cast<int>(first); e < last; ++e) {
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
        observe(e, &obs[i * obs_row], &state[i * state_row], &avail_actions[i * avail_row]);
      }
    }
  });
}

std::string BatchedEnv::get_state(int e) const {
  if (e < 0 || e >= num_envs_) throw std::invalid_argument("no environment " + std::to_string(e));
  const size_t agents = spec_.n_agents, i = e;
  std::string bytes;
  append(bytes, &episodes_[e], 1);
  append(bytes, &streams_[e], 1);
  append(bytes, &obs[i * agents * spec_.obs_size], agents * spec_.obs_size);
  append(bytes, &state[i * spec_.state_size], spec_.state_size);
  append(bytes, &avail_actions[i * agents * spec_.n_actions], agents * spec_.n_actions);
  return bytes + save_game(e);
}

void BatchedEnv::set_state(int e, const std::string& bytes) {
  if (e < 0 || e >= num_envs_) throw std::invalid_argument("no environment " + std::to_string(e));
  const size_t agents = spec_.n_agents, i = e;
  const size_t head = sizeof(uint64_t) + sizeof(RandomStream) + agents * spec_.obs_size * sizeof(float) +
                      spec_.state_size * sizeof(float) + agents * spec_.n_actions;
  if (bytes.size() < head || !load_game(e, bytes.substr(head))) {
    throw std::invalid_argument(spec_.id + ": these " + std::to_string(bytes.size()) +
                                " bytes are not its state");
  }
  const char* from = bytes.data();
  take(from, &episodes_[e], 1);
  take(from, &streams_[e], 1);
  take(from, &obs[i * agents * spec_.obs_size], agents * spec_.obs_size);
  take(from, &state[i * spec_.state_size], spec_.state_size);
  take(from, &avail_actions[i * agents * spec_.n_actions], agents * spec_.n_actions);
  started_ = true;
}

}  // namespace powqmix
