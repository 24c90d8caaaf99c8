#include "envs/skirmish_features.h"

#include <algorithm>
#include <cstring>

#include "envs/skirmish_agents.h"

namespace powqmix::skirmish {

namespace {

constexpr float kConeCosine = 0.5f;  // a cone of 120 degrees

// Health, [shield], type: the tail that all rows share.
inline float* write_body(const FeatureLayout& layout, const Battle& b, const Rules& rules, int u,
                         float* row) {
  const bool ally = b.is_ally(u);
  const UnitStats& s = rules.of(b, u);
  *row++ = b.health[u] / s.health;
  if (ally ? layout.ally_shields : layout.enemy_shields)
    *row++ = s.shield > 0 ? b.shield[u] / s.shield : 0.0f;
  if (layout.type_bits > 0) row[(ally ? layout.ally_bit : layout.enemy_bit)[b.type[u]]] = 1.0f;
  return row + layout.type_bits;
}

inline bool in_cone(const Battle& b, int u, float dx, float dy, float far) {
  return dx * b.face_x[u] + dy * b.face_y[u] >= kConeCosine * far;
}

float* write_surroundings(const FeatureLayout& layout, const Battle& b, const Rules& rules, int u,
                          float* at) {
  constexpr int kStep = static_cast<int>(kMoveAmount), kFar = 2 * kStep;
  constexpr int kX[9] = {0, 0, kFar, -kFar, kStep, -kStep, kStep, -kStep, 0};
  constexpr int kY[9] = {kFar, -kFar, 0, 0, kStep, -kStep, -kStep, kStep, 0};
  const int x = static_cast<int>(b.x[u]), y = static_cast<int>(b.y[u]);
  const auto inside = [&](int i) {
    return x + kX[i] >= 0 && y + kY[i] >= 0 && x + kX[i] < kMapSize && y + kY[i] < kMapSize;
  };
  if (layout.options.obs_pathing_grid) {
    for (int i = 0; i < 8; ++i) *at++ = inside(i) ? rules.terrain->walkable(x + kX[i], y + kY[i]) : 1.0f;
  }
  if (layout.options.obs_terrain_height) {
    for (int i = 0; i < 9; ++i) *at++ = inside(i) ? rules.terrain->height(x + kX[i], y + kY[i]) : 1.0f;
  }
  return at;
}

void write_agent(const FeatureLayout& layout, const Battle& b, const Rules& rules, int u,
                 const uint8_t* avail, float* obs) {
  const FeatureOptions& options = layout.options;
  for (int m = 0; m < 4; ++m) obs[m] = avail[2 + m];
  write_surroundings(layout, b, rules, u, obs + 4);
  const bool can_attack = options.quirks || rules.of(b, u).weapon != Weapon::kHeal;
  float* row = obs + layout.enemies_at;
  for (int v = b.n_allies; v < b.n_units; ++v, row += layout.enemy_row) {
    const float dx = b.x[v] - b.x[u], dy = b.y[v] - b.y[u], d2 = dx * dx + dy * dy;
    if (d2 >= kSight * kSight) continue;
    const float far = std::sqrt(d2);
    if (options.cone_sight && !in_cone(b, u, dx, dy, far)) continue;
    // SMAC's quirk: a medivac's bit is whether it may heal the ally of that number.
    row[0] = can_attack ? avail[kFirstTarget + v - b.n_allies] : 0;
    row[1] = far / kSight;
    row[2] = dx / kSight;
    row[3] = dy / kSight;
    write_body(layout, b, rules, v, row + 4);
  }
  row = obs + layout.allies_at;
  for (int v = 0; v < b.n_allies; ++v) {
    if (v == u) continue;
    const float dx = b.x[v] - b.x[u], dy = b.y[v] - b.y[u], d2 = dx * dx + dy * dy;
    const float far = std::sqrt(d2);
    if (d2 < kSight * kSight && (!options.cone_sight || in_cone(b, u, dx, dy, far))) {
      row[0] = 1.0f;
      row[1] = far / kSight;
      row[2] = dx / kSight;
      row[3] = dy / kSight;
      float* end = write_body(layout, b, rules, v, row + 4);
      if (options.obs_last_action && b.last_action[v] >= 0) end[b.last_action[v]] = 1.0f;
    }
    row += layout.ally_row;
  }
  float* end = write_body(layout, b, rules, u, obs + layout.own_at);
  if (options.obs_timestep_number) *end = static_cast<float>(b.step) / layout.episode_limit;
}

void write_state(const FeatureLayout& layout, const Battle& b, const Rules& rules, float* state) {
  constexpr float kCentre = kMapSize / 2.0f;
  float* row = state;
  for (int u = 0; u < b.n_allies; ++u, row += layout.state_ally_row) {
    if (!b.alive(u)) continue;
    const UnitStats& s = rules.of(b, u);
    // health, cooldown or energy, x, y, [shield], type
    float body[2 + kUnitTypes] = {};
    write_body(layout, b, rules, u, body);
    row[0] = body[0];
    row[1] = s.weapon == Weapon::kHeal ? b.energy[u] / s.max_energy
                                       : std::max(0.0f, b.cooldown[u]) / s.max_cooldown;
    row[2] = (b.x[u] - kCentre) / kMapSize;
    row[3] = (b.y[u] - kCentre) / kMapSize;
    std::copy(body + 1, body + 1 + layout.state_ally_row - 4, row + 4);
  }
  for (int u = b.n_allies; u < b.n_units; ++u, row += layout.state_enemy_row) {
    if (!b.alive(u)) continue;
    float body[2 + kUnitTypes] = {};
    write_body(layout, b, rules, u, body);
    row[0] = body[0];
    row[1] = (b.x[u] - kCentre) / kMapSize;
    row[2] = (b.y[u] - kCentre) / kMapSize;
    std::copy(body + 1, body + 1 + layout.state_enemy_row - 3, row + 3);
  }
  if (layout.options.state_last_action) {
    for (int u = 0; u < b.n_allies; ++u, row += layout.n_actions) {
      if (b.last_action[u] >= 0) row[b.last_action[u]] = 1.0f;
    }
  }
  if (layout.options.state_timestep_number) *row = static_cast<float>(b.step) / layout.episode_limit;
}

void fill_bits(const std::vector<UnitType>& types, int8_t* bits) {
  std::fill(bits, bits + kUnitTypes, static_cast<int8_t>(-1));
  for (size_t i = 0; i < types.size(); ++i) bits[types[i]] = static_cast<int8_t>(i);
}

}  // namespace

FeatureLayout make_layout(const FeatureOptions& options, int n_agents, int n_enemies, int episode_limit,
                          bool ally_shields, bool enemy_shields, const std::vector<UnitType>& types,
                          const std::vector<UnitType>& enemy_types) {
  FeatureLayout l;
  l.options = options;
  l.n_agents = n_agents;
  l.n_enemies = n_enemies;
  l.n_actions = kFirstTarget + n_enemies;
  l.episode_limit = episode_limit;
  l.ally_shields = ally_shields;
  l.enemy_shields = enemy_shields;
  l.type_bits = static_cast<int>(types.size());
  fill_bits(types, l.ally_bit);
  fill_bits(options.quirks ? enemy_types : types, l.enemy_bit);
  const int u = l.type_bits;
  l.enemy_row = 5 + enemy_shields + u;
  l.ally_row = 5 + ally_shields + u + (options.obs_last_action ? l.n_actions : 0);
  l.own_row = 1 + ally_shields + u;
  l.enemies_at = 4 + (options.obs_pathing_grid ? 8 : 0) + (options.obs_terrain_height ? 9 : 0);
  l.allies_at = l.enemies_at + n_enemies * l.enemy_row;
  l.own_at = l.allies_at + (n_agents - 1) * l.ally_row;
  l.obs_size = l.own_at + l.own_row + (options.obs_timestep_number ? 1 : 0);
  l.state_ally_row = 4 + ally_shields + u;
  l.state_enemy_row = 3 + enemy_shields + u;
  l.state_size = n_agents * l.state_ally_row + n_enemies * l.state_enemy_row +
                 (options.state_last_action ? n_agents * l.n_actions : 0) +
                 (options.state_timestep_number ? 1 : 0);
  if (options.obs_instead_of_state) l.state_size = n_agents * l.obs_size;
  return l;
}

void write_features(const FeatureLayout& layout, const Battle& b, const Rules& rules, float* obs,
                    float* state, uint8_t* avail) {
  const size_t obs_floats = static_cast<size_t>(layout.n_agents) * layout.obs_size;
  std::memset(obs, 0, obs_floats * sizeof(float));
  for (int u = 0; u < layout.n_agents; ++u) {
    legal_actions(b, rules, u, layout.n_actions, avail + u * layout.n_actions);
    if (b.alive(u)) write_agent(layout, b, rules, u, avail + u * layout.n_actions, obs + u * layout.obs_size);
  }
  if (layout.options.obs_instead_of_state) {
    std::memcpy(state, obs, obs_floats * sizeof(float));
    return;
  }
  std::memset(state, 0, layout.state_size * sizeof(float));
  write_state(layout, b, rules, state);
}

}  // namespace powqmix::skirmish
