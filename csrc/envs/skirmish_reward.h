// Reward and endings: damage, kills and victory, scaled; who has won.
#pragma once

#include <algorithm>
#include <cmath>

#include "envs/skirmish_battle.h"

namespace powqmix::skirmish {

struct RewardOptions {
  bool sparse = false;        // +1 a victory, -1 a defeat, nothing else
  bool only_positive = true;  // false: minus half of the allies' damage and 5 a dead ally
  bool quirks = true;         // |.| of the damage; false: max(0, .)
};

constexpr float kKillReward = 10.0f, kWinReward = 200.0f, kNegativeScale = 0.5f, kRewardScale = 20.0f;

// Health and shield of every unit at a step's start, 0 for the dead.
struct Strength {
  float of[kMaxUnits];
};

inline Strength strength(const Battle& b) {
  Strength s;
  for (int u = 0; u < b.n_units; ++u) s.of[u] = b.health[u] + b.shield[u];
  return s;
}

// The most a battle can give, without what shields regain: 10 a kill, 200 for the win, all enemies' health
// and shield.
inline float max_reward(const Battle& b) {
  float sum = kWinReward;
  for (int u = b.n_allies; u < b.n_units; ++u) sum += kKillReward + b.health[u] + b.shield[u];
  return sum;
}

// What the step's damage and deaths are worth, unscaled. A unit that was dead before counts no more.
inline float battle_reward(const Battle& b, const Strength& before, const RewardOptions& options) {
  float damage = 0, kills = 0, lost = 0;
  for (int u = b.n_allies; u < b.n_units; ++u) {
    if (before.of[u] <= 0) continue;
    damage += before.of[u] - b.health[u] - b.shield[u];
    if (!b.alive(u)) kills += kKillReward;
  }
  if (options.only_positive) {
    // SMAC's quirk: shields that grow back make a negative sum, and that is rewarded too.
    return options.quirks ? std::abs(damage + kills) : std::max(0.0f, damage + kills);
  }
  for (int u = 0; u < b.n_allies; ++u) {
    if (before.of[u] <= 0) continue;
    lost += before.of[u] - b.health[u] - b.shield[u];
    if (!b.alive(u)) lost += kKillReward;
  }
  return damage + kills - kNegativeScale * lost;
}

enum class Outcome : uint8_t { kNone, kLost, kDraw, kWon };

// medivacs_matter: the map has medivacs (SMAC's "MMM"): who has nothing else left has lost. With quirks the
// enemy has lost only when exactly one medivac is left, and two dead sides count as a defeat there, a draw
// elsewhere.
inline Outcome outcome(const Battle& b, const Rules& rules, bool medivacs_matter, bool quirks) {
  int allies = 0, enemies = 0, ally_medivacs = 0, enemy_medivacs = 0;
  for (int u = 0; u < b.n_units; ++u) {
    if (!b.alive(u)) continue;
    const bool medivac = rules.of(b, u).weapon == Weapon::kHeal;
    (b.is_ally(u) ? allies : enemies) += 1;
    (b.is_ally(u) ? ally_medivacs : enemy_medivacs) += medivac;
  }
  bool ally_done = allies == 0, enemy_done = enemies == 0;
  if (medivacs_matter) {
    ally_done = allies == ally_medivacs;
    enemy_done = enemy_done || (enemies == enemy_medivacs && (!quirks || enemies == 1));
    if (quirks && ally_done) return Outcome::kLost;
  }
  if (ally_done && enemy_done) return Outcome::kDraw;
  if (ally_done) return Outcome::kLost;
  return enemy_done ? Outcome::kWon : Outcome::kNone;
}

}  // namespace powqmix::skirmish
