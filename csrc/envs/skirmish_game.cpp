#include "envs/skirmish_game.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "envs/skirmish_agents.h"
#include "envs/skirmish_check.h"
#include "envs/skirmish_combat.h"
#include "envs/skirmish_loops.h"

namespace powqmix::skirmish {

namespace {

const MapSpec& checked(const MapSpec& map) {
  const int allies = unit_count(map.allies), enemies = unit_count(map.enemies);
  const auto refuse = [&](const std::string& text) {
    throw std::invalid_argument("skirmish/" + map.name + ": " + text);
  };
  if (allies < 1 || enemies < 1) refuse("both sides need at least one unit");
  if (allies + enemies > kMaxUnits) {
    refuse(std::to_string(allies + enemies) + " units; there may be " + std::to_string(kMaxUnits));
  }
  if (map.episode_limit < 1) refuse("limit must be at least 1, got " + std::to_string(map.episode_limit));
  return map;
}

bool has_shields(const std::vector<UnitGroup>& groups, const std::vector<UnitType>& drawn,
                 const Profile& profile) {
  for (const UnitGroup& group : groups) {
    if (profile[group.type].shield > 0) return true;
  }
  for (UnitType type : drawn) {
    if (profile[type].shield > 0) return true;
  }
  return false;
}

FeatureLayout layout_of(const MapSpec& map, const Profile& profile, const Options& options) {
  return make_layout(options.features, unit_count(map.allies), unit_count(map.enemies), map.episode_limit,
                     has_shields(map.allies, map.draw_types, profile),
                     has_shields(map.enemies, map.draw_types, profile), map.types, map.enemy_types);
}

EnvSpec spec_of(const MapSpec& map, const Profile& profile, const Options& options) {
  const FeatureLayout layout = layout_of(checked(map), profile, options);
  EnvSpec spec;
  spec.id = "skirmish/" + map.name;
  spec.version = "skirmish v2";
  spec.n_agents = layout.n_agents;
  spec.n_actions = layout.n_actions;
  spec.obs_size = layout.obs_size;
  spec.state_size = layout.state_size;
  spec.episode_limit = map.episode_limit;
  spec.has_win = true;
  return spec;
}

}  // namespace

Skirmish::Skirmish(const MapSpec& map, const Profile& profile, const Options& options,
                   const BatchOptions& batch)
    : BatchedEnv(spec_of(map, profile, options), batch),
      map_(map),
      options_(options),
      terrain_(map.terrain),
      layout_(layout_of(map, profile, options)),
      n_units_(unit_count(map.allies) + unit_count(map.enemies)),
      has_medivacs_(false),
      battles_(num_envs()),
      ended_(num_envs()) {
  rules_.stats = profile;
  rules_.terrain = &terrain_;
  rules_.ally_computer = options.mirror;
  rules_.ally_seeks_nearest = map.ally_march == March::kNearest;
  rules_.enemy_seeks_nearest = map.enemy_march == March::kNearest;
  spawns_ = make_spawns(map_, profile, terrain_);
  for (UnitType type : spawns_.types) has_medivacs_ = has_medivacs_ || profile[type].weapon == Weapon::kHeal;
  for (UnitType type : map.draw_types) has_medivacs_ = has_medivacs_ || profile[type].weapon == Weapon::kHeal;
  dead_allies.assign(num_envs(), 0);
  dead_enemies.assign(num_envs(), 0);
  for (int e = 0; e < num_envs(); ++e) {
    clear_units(battles_[e]);
    battles_[e].n_allies = spec().n_agents;
    battles_[e].n_units = n_units_;
    ended_[e] = battles_[e];
  }
}

void Skirmish::start_episode(int e) {
  start_battle(battles_[e], map_, spawns_, rules_, options_.spawn_jitter, random(e));
  battles_[e].max_reward = max_reward(battles_[e]);
}

StepResult Skirmish::play(int e, const int32_t* actions) {
  Battle& b = battles_[e];
  const Strength before = strength(b);
  for (int u = 0; u < b.n_units; ++u) b.shot_at[u] = -1;
  for (int u = 0; u < b.n_allies; ++u) {
    b.last_action[u] = static_cast<int16_t>(actions[u]);
    if (!options_.mirror) give_order(b, rules_, u, actions[u]);
  }
  play_loops(b, rules_);
  ++b.step;

  StepResult result;
  const Outcome end = outcome(b, rules_, has_medivacs_, options_.reward.quirks);
  result.terminated = end != Outcome::kNone;
  result.truncated = !result.terminated && b.step >= map_.episode_limit;
  result.battle_won = end == Outcome::kWon;
  if (options_.reward.sparse) {
    result.reward = end == Outcome::kWon ? 1.0f : end == Outcome::kLost ? -1.0f : 0.0f;
  } else {
    const float reward =
        battle_reward(b, before, options_.reward) + (end == Outcome::kWon ? kWinReward : 0.0f);
    result.reward = reward / (b.max_reward / kRewardScale);
  }
  dead_allies[e] = dead_enemies[e] = 0;
  for (int u = 0; u < b.n_units; ++u) (b.is_ally(u) ? dead_allies : dead_enemies)[e] += !b.alive(u);
  if (result.terminated || result.truncated) ended_[e] = b;
  return result;
}

void Skirmish::observe(int e, float* obs_rows, float* state_row, uint8_t* avail_rows) const {
  write_features(layout_, battles_[e], rules_, obs_rows, state_row, avail_rows);
}

void Skirmish::scripted_actions(Script script, int32_t* actions) const {
  const size_t agents = spec().n_agents, n_actions = spec().n_actions;
  for (int e = 0; e < num_envs(); ++e) {
    for (size_t u = 0; u < agents; ++u) {
      const size_t row = e * agents + u;
      actions[row] = scripted_action(script, battles_[e], rules_, static_cast<int>(u),
                                     &avail_actions[row * n_actions], static_cast<int>(n_actions));
    }
  }
}

void Skirmish::units(int e, bool ended, float* table) const {
  require_begun(e);
  const Battle& b = (ended ? ended_ : battles_)[e];
  for (int u = 0; u < n_units_; ++u, table += kColumns) {
    const bool alive = b.alive(u);
    const float row[kColumns] = {alive ? b.x[u] : b.fell_x[u],
                                 alive ? b.y[u] : b.fell_y[u],
                                 b.health[u],
                                 b.shield[u],
                                 b.energy[u],
                                 b.cooldown[u],
                                 static_cast<float>(b.type[u]),
                                 static_cast<float>(b.target[u]),
                                 static_cast<float>(b.shot_at[u]),
                                 static_cast<float>(b.died[u])};
    std::memcpy(table, row, sizeof(row));
  }
}

int Skirmish::episode_step(int e, bool ended) const {
  require_begun(e);
  return (ended ? ended_ : battles_)[e].step;
}

void Skirmish::stage(int e, const float* table) {
  require_begun(e);
  Battle b = battles_[e];
  for (int u = 0; u < n_units_; ++u, table += kStaged) {
    const UnitStats& s = rules_.of(b, u);
    b.x[u] = table[kX];
    b.y[u] = table[kY];
    b.health[u] = table[kHealth];
    b.shield[u] = table[kShield];
    b.energy[u] = table[kEnergy];
    b.cooldown[u] = table[kCooldown];
    b.separation[u] = s.separation;  // a dead unit may live again
    b.radius[u] = s.radius;
    b.target[u] = b.follow_target[u] = b.last_attacker[u] = b.shot_at[u] = b.died[u] = -1;
    b.swing[u] = b.follow_up[u] = b.slack[u] = 0;
    b.engaged[u] = b.moving[u] = b.scan_wait[u] = b.detour[u] = 0;
    b.shield_wait[u] = 0;
    b.order[u] = !b.is_ally(u) || options_.mirror ? kAttackMove : kIdle;
    if (b.health[u] == 0) send_off(b, u);
  }
  if (!is_plausible(b, battles_[e], rules_, spec().n_actions, spec().episode_limit)) {
    throw std::invalid_argument(
        spec().id +
        ": staged units must stand on the map (0 <= x, y < 32), with at most the health, shield and "
        "energy of their types and a cooldown of at least 0 (health 0: dead)");
  }
  battles_[e] = b;
  show(e);
}

std::string Skirmish::save_game(int e) const {
  return std::string(reinterpret_cast<const char*>(&battles_[e]), sizeof(Battle));
}

bool Skirmish::load_game(int e, const std::string& bytes) {
  if (bytes.size() != sizeof(Battle)) return false;
  Battle b;
  std::memcpy(&b, bytes.data(), sizeof(Battle));
  if (!is_plausible(b, battles_[e], rules_, spec().n_actions, spec().episode_limit)) return false;
  for (int u = 0; u < n_units_; ++u) {  // the types say where their one-hot bits are
    const bool known = map_.teams == Teams::kFixed
                           ? b.type[u] == spawns_.types[u]
                           : std::count(map_.draw_types.begin(), map_.draw_types.end(), b.type[u]) > 0;
    if (!known) return false;
  }
  battles_[e] = b;
  return true;
}

}  // namespace powqmix::skirmish
