// The computer's side: attack-move, looking around every two to four loops.
//
// A unit prefers foes that can hurt it, then foes that are attacking, then the nearest; it keeps a target
// while that lives within its range + slop, chases it until another foe comes into sight (there is no fog),
// and goes on to its goal when it is dead.
#pragma once

#include "envs/skirmish_battle.h"
#include "envs/skirmish_combat.h"
#include "envs/skirmish_lanes.h"
#include "envs/skirmish_movement.h"

namespace powqmix::skirmish {

constexpr float kAcquireRange = 5.0f;  // at least; longer weapons see farther
constexpr float kHealSight = 6.0f;
constexpr int kRevengeLoops = 2 * kLoopsPerSecond;  // how long a blow from out of sight is remembered
// A foe that attacks and is in range counts as this much nearer, a harmless one as farther than all others.
constexpr float kAttackerBonus = 1.0f, kHarmless = 100.0f;

inline bool is_attacking(const Battle& b, int u) {
  return b.swing[u] > 0 || b.cooldown[u] > 0 || b.follow_up[u] > 0;
}

// Whether foe v is worth a shot at all before others: it can hurt, or it is a medivac that heals just now.
inline bool is_dangerous(const Battle& b, const Rules& rules, int v) {
  return rules.of(b, v).weapon == Weapon::kHeal ? b.target[v] >= 0 && b.engaged[v] : rules.of(b, v).armed();
}

// The best foe in sight, or -1. `anywhere` drops the limit of sight and takes the nearest.
inline int choose_foe(const Battle& b, const Rules& rules, int u, bool anywhere) {
  const UnitStats& s = rules.of(b, u);
  const float sight = std::max(kAcquireRange, s.range) + b.radius[u];
  int best = -1;
  float best_cost = 1e30f;
  const auto weigh = [&](int v) {
    if (!s.can_hit(rules.of(b, v))) return;
    float cost = std::sqrt(b.distance2(u, v)) - b.radius[u] - b.radius[v];
    if (!anywhere) {
      if (cost <= s.range && is_attacking(b, v)) cost -= kAttackerBonus;
      if (!is_dangerous(b, rules, v)) cost += kHarmless;
    }
    if (cost < best_cost) {
      best_cost = cost;
      best = v;
    }
  };
  const int begin = b.foes_begin(u), end = b.foes_end(u);
  for (int first = begin & -kLanes; first < end; first += kLanes) {
    Floats x, y, radius, health;
    load(&b.x[first], x);
    load(&b.y[first], y);
    load(&b.radius[first], radius);
    load(&b.health[first], health);
    const Floats dx = x - b.x[u], dy = y - b.y[u], reach = radius + sight;
    const uint32_t seen = bits_of(anywhere ? health > 0 : dx * dx + dy * dy <= reach * reach);
    for_each_bit(seen & bits_between(first, begin, end), [&](int k) { weigh(first + k); });
  }
  return best;
}

// The nearest wounded friend on the ground that a medivac sees, or -1.
inline int choose_patient(const Battle& b, const Rules& rules, int u) {
  int best = -1;
  float best_d2 = (kHealSight + b.radius[u]) * (kHealSight + b.radius[u]);
  for (int v = b.friends_begin(u); v < b.friends_end(u); ++v) {
    const UnitStats& s = rules.of(b, v);
    if (s.flies || b.health[v] >= s.health || v == u) continue;
    const float d2 = b.distance2(u, v);
    if (d2 < best_d2) {
      best_d2 = d2;
      best = v;
    }
  }
  return best;
}

inline void set_target(Battle& b, int u, int target) {
  if (b.target[u] == target) return;
  b.target[u] = static_cast<int16_t>(target);
  b.engaged[u] = 0;
  b.swing[u] = 0;
}

// Whether u stands where its attack-move leads, as near as friends that stand there leave room.
inline bool has_arrived(const Battle& b, int u) {
  constexpr float kNear = 1.5f;
  const float dx = b.goal_x[u] - b.x[u], dy = b.goal_y[u] - b.y[u];
  return dx * dx + dy * dy < kNear * kNear;
}

// Where the computer plays both sides, each side's survivors may stand where the other began: they go on to
// where the nearest foe is.
inline void march_on(Battle& b, const Rules& rules, int u) {
  const int foe = choose_foe(b, rules, u, true);
  if (foe < 0) return;
  b.goal_x[u] = b.x[foe];
  b.goal_y[u] = b.y[foe];
}

inline void look_around(Battle& b, const Rules& rules, int u) {
  const UnitStats& s = rules.of(b, u);
  const int current = b.target[u];
  const bool has_target = current >= 0 && b.alive(current);
  if (s.weapon == Weapon::kHeal) {
    const bool wounded = has_target && b.health[current] < rules.of(b, current).health;
    if (!wounded) set_target(b, u, choose_patient(b, rules, u));
    return;
  }
  if (!s.armed()) return;
  if (has_target && b.engaged[u] && is_dangerous(b, rules, current)) return;
  int foe = choose_foe(b, rules, u, false);
  if (foe < 0) {  // whoever hurts it from out of sight is worth a walk
    const int attacker = b.last_attacker[u];
    if (attacker >= 0 && b.alive(attacker) && b.shield_wait[u] > kShieldWait - kRevengeLoops &&
        s.can_hit(rules.of(b, attacker))) {
      foe = attacker;
    }
  }
  if (foe < 0 && (b.is_ally(u) ? rules.ally_seeks_nearest : rules.enemy_seeks_nearest)) {
    foe = choose_foe(b, rules, u, true);
  }
  if (foe < 0 && has_target) foe = current;
  set_target(b, u, foe);
  if (foe < 0 && rules.ally_computer && has_arrived(b, u)) march_on(b, rules, u);
}

// Loop phase 2: orders of the sides that the computer plays.
inline void command(Battle& b, const Rules& rules) {
  for (int u = rules.ally_computer ? 0 : b.n_allies; u < b.n_units; ++u) {
    if (!b.alive(u)) continue;
    const bool lost = b.target[u] >= 0 && !b.alive(b.target[u]);
    if (b.scan_wait[u] > 0 && !lost) {
      --b.scan_wait[u];
      continue;
    }
    b.scan_wait[u] = static_cast<uint8_t>(1 + draw(b, u, Draw::kScan) % 3);  // looks every 2 to 4 loops
    look_around(b, rules, u);
  }
}

}  // namespace powqmix::skirmish
