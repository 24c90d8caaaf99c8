// Rollout: plays episodes. One call steps every environment of an actor (act, record, simulate) until an
// episode ends.
//
// The loop is here once, for native environments (which it steps without Python) and for any others (which
// its EnvPort calls back): what an episode holds cannot depend on which it was.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actor/policy.h"
#include "actor/recorder.h"
#include "actor/stage_clock.h"

namespace powqmix {

// What a rollout needs of a batch of environments. The arrays are the environment's own, current after reset
// and step.
class EnvPort {
 public:
  virtual ~EnvPort() = default;
  virtual void reset() = 0;
  virtual void step(const int32_t* actions) = 0;  // [E, N]

  int num_envs = 0;
  const float* obs = nullptr;                    // [E, N, O]
  const float* state = nullptr;                  // [E, S]
  const uint8_t* avail_actions = nullptr;        // [E, N, A]
  const float* reward = nullptr;                 // [E]
  const uint8_t* terminated = nullptr;           // [E]
  const uint8_t* truncated = nullptr;            // [E]
  const uint8_t* battle_won = nullptr;           // [E]
  const float* final_obs = nullptr;              // [E, N, O]
  const float* final_state = nullptr;            // [E, S]
  const uint8_t* final_avail_actions = nullptr;  // [E, N, A]
};

class Rollout {
 public:
  // Throws std::invalid_argument where policy, layout and environments disagree on a size.
  Rollout(std::unique_ptr<EnvPort> env, const PolicyShape& shape, const EpisodeLayout& layout, uint64_t seed,
          uint64_t first_env, const std::string& isa);

  Policy& policy() { return policy_; }
  int num_envs() const { return env_->num_envs; }
  // Environment steps recorded so far.
  int64_t env_steps() const { return env_steps_; }
  // Of advance(), once it is started.
  StageClock& clock() { return clock_; }

  // Steps all environments until at least min_episodes episodes have ended, or max_steps times (0: no limit).
  // Returns the episodes that ended, in the order of their ends and then of environments. Episodes that begin
  // in this call use the newest parameters and this epsilon to their end. An exception of the environment
  // loses what ended in this call.
  std::vector<FinishedEpisode> advance(float epsilon, int64_t max_steps, size_t min_episodes);

  // Resets all environments and plays exactly one episode in each; returns them in env order. An environment
  // whose episode has ended waits for the others: it is stepped with its first legal actions, and nothing of
  // that is kept.
  std::vector<FinishedEpisode> play_round(float epsilon);

  // Drops unfinished episodes; returns how many had begun. The next advance() starts from a reset, as it does
  // after an exception of the environment.
  int abort();

 private:
  void reset();
  void begin(int e, float epsilon);
  void observe(int e);
  void record(int e, std::vector<FinishedEpisode>& finished);

  std::unique_ptr<EnvPort> env_;
  Policy policy_;
  Recorder recorder_;
  std::vector<int> all_;          // 0 .. E - 1
  std::vector<int32_t> actions_;  // [E, N]
  bool ready_ = false;            // the environments' arrays show a step that can be acted on
  int64_t env_steps_ = 0;
  StageClock clock_;
};

}  // namespace powqmix
