#include "envs/skirmish_check.h"

#include <algorithm>

#include "envs/skirmish_combat.h"

namespace powqmix::skirmish {

namespace {

template <typename T>
bool in_range(const T* values, float low, float high) {  // false for NaN too
  return std::all_of(values, values + kMaxUnits, [&](T v) { return v >= low && v <= high; });
}

// Whether u stands as battles have it: inside the map with no more than its type has, or dead and far
// outside.
bool plausible_unit(const Battle& b, const Rules& rules, int u) {
  const UnitStats& s = rules.of(b, u);
  if (b.radius[u] != s.radius || b.separation[u] != s.separation || b.flying[u] != s.flies ||
      b.rooted[u] != (s.speed <= 0)) {
    return false;
  }
  if (!(b.energy[u] >= 0 && b.energy[u] <= std::max(s.energy, s.max_energy))) return false;
  if (b.health[u] == 0) return b.x[u] == kPaddingX + 100.0f * u && b.y[u] == kPaddingX && b.shield[u] == 0;
  return b.health[u] > 0 && b.health[u] <= s.health && b.shield[u] >= 0 && b.shield[u] <= s.shield &&
         b.x[u] >= 0 && b.x[u] < kMapSize && b.y[u] >= 0 && b.y[u] < kMapSize;
}

}  // namespace

bool is_plausible(const Battle& b, const Battle& like, const Rules& rules, int n_actions, int episode_limit) {
  const int n = like.n_units;
  constexpr float kLate = -1.0f, kLong = 1e6f, kFarAway = 1e4f;
  if (b.n_units != n || b.n_allies != like.n_allies || b.step < 0 || b.step >= episode_limit ||
      !(b.max_reward > 0 && b.max_reward < 1e9f)) {
    return false;
  }
  if (!in_range(b.cooldown, kLate, kLong) || !in_range(b.swing, 0, kLong) ||
      !in_range(b.follow_up, 0, kLong) || !in_range(b.goal_x, -kFarAway, kFarAway) ||
      !in_range(b.goal_y, -kFarAway, kFarAway) || !in_range(b.slack, -kFarAway, WalkLayer::kFar) ||
      !in_range(b.face_x, -1.01f, 1.01f) || !in_range(b.face_y, -1.01f, 1.01f) ||
      !in_range(b.type, 0, kUnitTypes - 1) || !in_range(b.order, 0, kAttackMove) ||
      !in_range(b.last_action, -1, n_actions - 1) || !in_range(b.target, -1, n - 1) ||
      !in_range(b.follow_target, -1, n - 1) || !in_range(b.last_attacker, -1, n - 1) ||
      !in_range(b.shot_at, -1, n - 1) || !in_range(b.fell_x, 0, kMapSize) ||
      !in_range(b.fell_y, 0, kMapSize) || !in_range(b.detour_side, -1, 1) ||
      !in_range(b.shield_wait, 0, kShieldWait)) {
    return false;
  }
  bool listed[kMaxUnits] = {};
  for (int i = 0; i < kMaxUnits; ++i) {
    if (b.from_west[i] >= kMaxUnits || listed[b.from_west[i]]) return false;
    listed[b.from_west[i]] = true;
  }
  if (std::any_of(b.from_west, b.from_west + n, [n](uint8_t u) { return u >= n; })) return false;
  for (int u = 0; u < n; ++u) {
    if (!plausible_unit(b, rules, u)) return false;
  }
  // Slots that no unit has are as they were made: loops over blocks of units rely on it.
  for (int u = n; u < kMaxUnits; ++u) {
    if (b.health[u] != 0 || b.x[u] != like.x[u] || b.y[u] != like.y[u]) return false;
  }
  return true;
}

}  // namespace powqmix::skirmish
