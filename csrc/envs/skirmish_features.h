// Features: what agents observe and what the central state holds, element for element as SMAC gives them.
//
// Observation of a living agent, in this order: moves that are possible (4), [pathing (8)], [heights (9)], a
// row an enemy, a row an ally but itself, itself, [time]. Rows of what is dead or not seen are zeros, so is a
// dead agent's observation. State: a row an ally, a row an enemy, [last joint action, one-hot], [time].
#pragma once

#include <cstdint>
#include <vector>

#include "envs/skirmish_battle.h"

namespace powqmix::skirmish {

struct FeatureOptions {
  bool obs_last_action = false;      // + n_actions in every ally's row
  bool obs_pathing_grid = false;     // + 8
  bool obs_terrain_height = false;   // + 9
  bool obs_timestep_number = false;  // + 1
  bool state_timestep_number = false;
  bool state_last_action = true;
  bool obs_instead_of_state = false;  // the state is all observations in a row
  bool quirks = true;
  bool cone_sight = false;  // sees only what lies ahead (SMACv2's idea)
};

// Where every feature lies. One-hot places of types: -1 where there is no such feature.
struct FeatureLayout {
  FeatureOptions options;
  int n_agents = 0, n_enemies = 0, n_actions = 0, episode_limit = 0;
  bool ally_shields = false, enemy_shields = false;
  int type_bits = 0;
  int8_t ally_bit[kUnitTypes], enemy_bit[kUnitTypes];
  int enemy_row = 0, ally_row = 0, own_row = 0;   // lengths within an observation
  int enemies_at = 0, allies_at = 0, own_at = 0;  // offsets within an observation
  int state_ally_row = 0, state_enemy_row = 0;    // lengths within the state
  int obs_size = 0, state_size = 0;
};

FeatureLayout make_layout(const FeatureOptions& options, int n_agents, int n_enemies, int episode_limit,
                          bool ally_shields, bool enemy_shields, const std::vector<UnitType>& types,
                          const std::vector<UnitType>& enemy_types);

// obs: [N, obs_size], state: [state_size], avail: [N, n_actions]; every element is written.
void write_features(const FeatureLayout& layout, const Battle& battle, const Rules& rules, float* obs,
                    float* state, uint8_t* avail);

}  // namespace powqmix::skirmish
