// Skirmish: the batched environment, made of the rules in the files beside it.
#pragma once

#include <string>
#include <vector>

#include "envs/batched_env.h"
#include "envs/skirmish_battle.h"
#include "envs/skirmish_features.h"
#include "envs/skirmish_map.h"
#include "envs/skirmish_reward.h"
#include "envs/skirmish_scripted.h"
#include "envs/skirmish_spawn.h"

namespace powqmix::skirmish {

struct Options {
  FeatureOptions features;
  RewardOptions reward;
  float spawn_jitter = 0;
  bool mirror = false;  // the computer plays the allies; actions are checked but not obeyed
};

class Skirmish : public BatchedEnv {
 public:
  // Numbers of one unit in units() and stage().
  enum Column {
    kX,
    kY,
    kHealth,
    kShield,
    kEnergy,
    kCooldown,
    kStaged,
    kType = kStaged,
    kTarget,
    kShotAt,
    kDied,
    kColumns
  };

  // Throws std::invalid_argument if the map cannot be played.
  Skirmish(const MapSpec& map, const Profile& profile, const Options& options, const BatchOptions& batch);

  const MapSpec& map() const { return map_; }
  const Profile& profile() const { return rules_.stats; }
  int n_units() const { return n_units_; }

  // Writes a scripted policy's actions for every environment; actions: [E, N].
  void scripted_actions(Script script, int32_t* actions) const;

  // The units of environment e as they are now, or as they were when its last episode ended; table: [U,
  // kColumns].
  void units(int e, bool ended, float* table) const;
  // Steps played in environment e's episode, or in its last one.
  int episode_step(int e, bool ended) const;
  // Puts the units of environment e where and how `table` [U, kStaged] says (health 0: dead), for tests and
  // drawings; orders and timers start anew, and obs, state and avail_actions show the result.
  void stage(int e, const float* table);

  // How many agents and enemies were dead after the last step, also of an episode that it ended. [E]
  std::vector<int32_t> dead_allies, dead_enemies;

 protected:
  void start_episode(int e) override;
  StepResult play(int e, const int32_t* actions) override;
  void observe(int e, float* obs, float* state, uint8_t* avail) const override;
  std::string save_game(int e) const override;
  bool load_game(int e, const std::string& bytes) override;

 private:
  MapSpec map_;
  Options options_;
  Terrain terrain_;
  Rules rules_;
  Spawns spawns_;
  FeatureLayout layout_;
  int n_units_;
  bool has_medivacs_;
  std::vector<Battle> battles_;  // [E]
  std::vector<Battle> ended_;    // [E] the last step of the last episode
};

}  // namespace powqmix::skirmish
