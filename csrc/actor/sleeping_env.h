// SleepingEnv: environments that only take time, for measuring the wire with more actors than there are
// cores.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "actor/rollout.h"
#include "powqmix/random.h"

#if defined(__linux__)
#include <sys/prctl.h>
#endif

namespace powqmix {

struct SleepingEnvOptions {
  int num_envs = 1;
  uint64_t seed = 0;
  double sleep_s = 0.0;  // of a step of the whole batch
};

// Everything is always legal, and what is seen never changes. Episodes last to the limit and are truncated
// there, but for the first, which is of a random length, so that actors that start together do not send
// together for ever.
class SleepingEnv : public EnvPort {
 public:
  SleepingEnv(const SleepingEnvOptions& options, const EpisodeLayout& layout)
      : sleep_s_(options.sleep_s),
        limit_(layout.episode_limit),
        left_(options.num_envs),
        flags_(options.num_envs) {
    const size_t envs = options.num_envs, agents = layout.n_agents;
    reals_.assign(envs * (agents * layout.obs_size + layout.state_size + 1), 0.0f);
    legal_.assign(envs * agents * layout.n_actions, 1);
    never_.assign(envs, 0);
    for (size_t e = 0; e < envs; ++e) {
      left_[e] = 1 + static_cast<int>(philox4x32(options.seed, e, 0).word[0] % static_cast<uint32_t>(limit_));
    }
#if defined(__linux__)
    // The kernel may wake a thread 50 us late to save power; a step is to take what was asked for.
    if (sleep_s_ > 0.0) prctl(PR_SET_TIMERSLACK, 1UL);
#endif
    num_envs = options.num_envs;
    obs = final_obs = reals_.data();
    state = final_state = obs + envs * agents * layout.obs_size;
    reward = state + envs * layout.state_size;
    avail_actions = final_avail_actions = legal_.data();
    terminated = battle_won = never_.data();
    truncated = flags_.data();
  }
  void reset() override {}
  void step(const int32_t*) override {
    std::this_thread::sleep_for(std::chrono::duration<double>(sleep_s_));
    for (size_t e = 0; e < left_.size(); ++e) {
      flags_[e] = --left_[e] == 0;
      if (flags_[e]) left_[e] = limit_;
    }
  }

 private:
  double sleep_s_;
  int limit_;
  std::vector<int> left_;  // steps of each environment's episode
  std::vector<uint8_t> flags_, never_, legal_;
  std::vector<float> reals_;
};

}  // namespace powqmix
