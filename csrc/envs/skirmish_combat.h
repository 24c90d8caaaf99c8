// Combat: timers, attacks, damage and death. All in game loops.
#pragma once

#include <algorithm>

#include "envs/skirmish_battle.h"
#include "envs/skirmish_lanes.h"

namespace powqmix::skirmish {

constexpr int kShieldWait = 10 * kLoopsPerSecond;
constexpr float kShieldRegen = 2.0f / kLoopsPerSecond;
constexpr float kMinDamage = 0.5f;

// What the units' types say about how they recover, a unit each: found once a step, for vector loops.
struct Recovery {
  float health[kMaxUnits], health_regen[kMaxUnits];  // full health
  float shield[kMaxUnits];                           // full shield
  bool any_energy = false;
};

inline Recovery recovery(const Battle& b, const Rules& rules) {
  Recovery r;
  for (int u = 0; u < whole_lanes(b.n_units); ++u) {
    const UnitStats& s = rules.of(b, u);
    r.health[u] = s.health;
    r.health_regen[u] = s.health_regen;
    r.shield[u] = s.shield;
    r.any_energy |= s.max_energy > 0;
  }
  return r;
}

// Loop phase 1: cooldowns, shields, health and energy that grow by themselves. Who is full, or has nothing
// that grows, keeps the same bits: no branch asks.
inline void advance_timers(Battle& b, const Rules& rules, const Recovery& r) {
  const int n = whole_lanes(b.n_units);  // slots of no unit keep their zeros
  // The remainder below 0 of the loop in which a cooldown ends is kept for one loop: shots keep their exact
  // period.
  for (int u = 0; u < n; ++u) b.cooldown[u] = b.cooldown[u] > 0 ? b.cooldown[u] - 1 : 0;
  for (int u = 0; u < n; ++u) {
    const float grown = std::min(r.shield[u], b.shield[u] + kShieldRegen);
    b.shield[u] = (b.health[u] > 0) & (b.shield_wait[u] <= 0) ? grown : b.shield[u];
  }
  for (int u = 0; u < n; ++u) {
    const int waits = b.shield_wait[u];
    b.shield_wait[u] = static_cast<int16_t>(waits - ((b.health[u] > 0) & (waits > 0)));
  }
  for (int u = 0; u < n; ++u) {
    const float grown = std::min(r.health[u], b.health[u] + r.health_regen[u]);
    b.health[u] = b.health[u] > 0 ? grown : b.health[u];
  }
  if (!r.any_energy) return;
  for (int u = 0; u < n; ++u) {
    const UnitStats& s = rules.of(b, u);
    if (b.alive(u) && s.max_energy > 0) b.energy[u] = std::min(s.max_energy, b.energy[u] + s.energy_regen);
  }
}

// Damage of one hit: the shield takes it first, the rest loses the armour but never all of it.
inline void hurt(Battle& b, const Rules& rules, int attacker, int victim, float damage) {
  const float absorbed = std::min(b.shield[victim], damage);
  b.shield[victim] -= absorbed;
  if (damage > absorbed) {
    b.health[victim] -= std::max(kMinDamage, damage - absorbed - rules.of(b, victim).armour);
    if (b.health[victim] < 0) b.health[victim] = 0;
  }
  b.shield_wait[victim] = kShieldWait;
  b.last_attacker[victim] = static_cast<int16_t>(attacker);
}

// Puts a dead unit out of everybody's reach.
inline void send_off(Battle& b, int u) {
  b.fell_x[u] = b.x[u];
  b.fell_y[u] = b.y[u];
  b.died[u] = -1;
  b.x[u] = kPaddingX + 100.0f * u;
  b.y[u] = kPaddingX;
  b.health[u] = b.shield[u] = b.energy[u] = b.cooldown[u] = b.swing[u] = b.follow_up[u] = 0;
  b.order[u] = kIdle;
  b.target[u] = b.follow_target[u] = -1;
  b.engaged[u] = b.moving[u] = 0;
}

// A unit that fell in this step leaves the field.
inline void fall(Battle& b, int u) {
  send_off(b, u);
  b.died[u] = static_cast<int16_t>(b.step + 1);
}

// Every living enemy of `u` within `radius` of it (to the edge).
inline void explode(Battle& b, const Rules& rules, int u) {
  const UnitStats& s = rules.of(b, u);
  for (int v = b.foes_begin(u); v < b.foes_end(u); ++v) {
    const float reach = s.splash_width + b.radius[v];
    if (b.alive(v) && b.distance2(u, v) <= reach * reach) hurt(b, rules, u, v, s.damage_to(rules.of(b, v)));
  }
}

// Every living enemy in the bar centred on the target, across the line of the shot. Each beam sweeps from the
// middle to one end: who stands in the middle is hit by all of them, who stands on an arm by one.
inline void sweep(Battle& b, const Rules& rules, int u, int target) {
  const UnitStats& s = rules.of(b, u);
  const float cx = b.x[target], cy = b.y[target];
  float dx = cx - b.x[u], dy = cy - b.y[u];
  const float length = std::sqrt(dx * dx + dy * dy);
  dx = length > 0 ? dx / length : 1.0f;
  dy = length > 0 ? dy / length : 0.0f;
  for (int v = b.foes_begin(u); v < b.foes_end(u); ++v) {
    if (!b.alive(v) || !s.can_hit(rules.of(b, v))) continue;
    const float ox = b.x[v] - cx, oy = b.y[v] - cy;
    const float along = std::abs(ox * dx + oy * dy), across = std::abs(ox * dy - oy * dx);
    if (along > 0.5f * s.splash_width + b.radius[v] || across > 0.5f * s.splash_length) continue;
    const int hits = across < b.radius[v] ? s.hits : 1;
    for (int hit = 0; hit < hits; ++hit) hurt(b, rules, u, v, s.damage_to(rules.of(b, v)));
  }
}

// The effect of an attack whose wind-up ended now; `late` <= 0 is by how much of a loop it was due earlier.
inline void fire(Battle& b, const Rules& rules, int u, float late) {
  const UnitStats& s = rules.of(b, u);
  const int target = b.target[u];
  b.shot_at[u] = static_cast<int16_t>(target);
  const float noise = -1.0f + 3.0f * draw_uniform(b, u, Draw::kCooldown);
  b.cooldown[u] = std::max(0.0f, s.period - s.damage_point + noise + late);
  switch (s.weapon) {
    case Weapon::kDirect:
      hurt(b, rules, u, target, s.damage_to(rules.of(b, target)));
      if (s.hits > 1) {
        b.follow_up[u] = s.hit_gap;
        b.follow_target[u] = static_cast<int16_t>(target);
      }
      break;
    case Weapon::kLine:
      sweep(b, rules, u, target);
      break;
    case Weapon::kSuicide:
      explode(b, rules, u);  // now, in its turn: whoever is due after it aims at nobody who falls to it
      fall(b, u);
      break;
    case Weapon::kHeal:
    case Weapon::kNone:
      break;
  }
}

inline void heal(Battle& b, const Rules& rules, int u) {
  const UnitStats& s = rules.of(b, u);
  const int patient = b.target[u];
  const float full = rules.of(b, patient).health, missing = full - b.health[patient];
  const float given = std::min({s.heal, missing, b.energy[u] / s.energy_per_health});
  if (given <= 0) return;
  b.health[patient] = std::min(full, b.health[patient] + given);
  b.energy[u] = std::max(0.0f, b.energy[u] - given * s.energy_per_health);
  b.shot_at[u] = static_cast<int16_t>(patient);
}

// What a unit does in phase 5 of this loop.
struct Due {
  uint32_t turn;  // random: who is first
  float late;     // <= 0: by how much of a loop the shot was due earlier
  uint8_t unit;
  bool shoots, follows, heals;
};

// Advances the attack of a unit that stands in range of its target; true if it hits in this loop.
inline bool advance_swing(Battle& b, const UnitStats& s, int u, float* late) {
  if (b.swing[u] <= 0) {
    if (b.cooldown[u] > 0) return false;
    b.swing[u] = s.damage_point + b.cooldown[u];  // the cooldown's remainder is at most a loop below 0
    if (b.swing[u] > 0) return false;
  } else if ((b.swing[u] -= 1) > 0) {
    return false;
  }
  *late = b.swing[u];
  b.swing[u] = 0;
  return true;
}

// Which of units [first, first + kLanes) may hit or heal in this loop; of the others, nothing changes.
inline uint32_t may_act(const Battle& b, int first) {
  Floats health, swing, cooldown, energy, follow_up;
  Truths engaged, target;
  load(&b.health[first], health);
  load(&b.swing[first], swing);
  load(&b.cooldown[first], cooldown);
  load(&b.energy[first], energy);
  load(&b.follow_up[first], follow_up);
  load(&b.engaged[first], engaged);
  load(&b.target[first], target);
  const Truths fights = (engaged != 0) & (target >= 0) & ((swing > 0) | (cooldown <= 0) | (energy > 0));
  return bits_of((health > 0) & ((follow_up > 0) | fights));
}

// Loop phase 5: whoever's attack is due hits, in fresh random order; who died before its turn hits nobody.
inline void attack(Battle& b, const Rules& rules) {
  Due queue[kMaxUnits];
  int n = 0;
  const auto enqueue = [&](int u) {
    Due due{0, 0.0f, static_cast<uint8_t>(u), false, false, false};
    if (b.follow_up[u] > 0) due.follows = (b.follow_up[u] -= 1) <= 0;
    if (b.target[u] >= 0 && b.engaged[u]) {
      const UnitStats& s = rules.of(b, u);
      due.heals = s.weapon == Weapon::kHeal;
      due.shoots = !due.heals && advance_swing(b, s, u, &due.late);
    }
    if (!due.follows && !due.shoots && !due.heals) return;
    due.turn = draw(b, u, Draw::kTurnOrder);
    int i = n++;  // insertion sort: few are due in one loop
    for (; i > 0 && queue[i - 1].turn > due.turn; --i) queue[i] = queue[i - 1];
    queue[i] = due;
  };
  for (int first = 0; first < b.n_units; first += kLanes) {
    for_each_bit(may_act(b, first), [&](int k) { enqueue(first + k); });
  }
  for (int i = 0; i < n; ++i) {
    const Due& due = queue[i];
    const int u = due.unit;
    if (!b.alive(u)) continue;
    if (due.follows) {
      const int victim = b.follow_target[u];
      b.follow_up[u] = 0;
      b.follow_target[u] = -1;
      if (b.alive(victim)) hurt(b, rules, u, victim, rules.of(b, u).damage_to(rules.of(b, victim)));
    }
    if (b.target[u] < 0 || !b.alive(b.target[u])) continue;
    if (due.shoots) fire(b, rules, u, due.late);
    if (due.heals) heal(b, rules, u);
  }
}

// Loop phase 6: the dead leave, and what explodes on death does, until nothing more dies.
inline void bury(Battle& b, const Rules& rules) {
  uint32_t dying = 0;
  for (int first = 0; first < b.n_units; first += kLanes) {
    Floats health, x;
    load(&b.health[first], health);
    load(&b.x[first], x);
    dying |= bits_of((health <= 0) & (x < kPaddingX));
  }
  if (dying == 0) return;
  for (bool again = true; again;) {
    again = false;
    for (int u = 0; u < b.n_units; ++u) {
      if (b.alive(u) || b.x[u] >= kPaddingX) continue;
      if (rules.of(b, u).weapon == Weapon::kSuicide) {
        explode(b, rules, u);
        again = true;
      }
      fall(b, u);
    }
  }
}

}  // namespace powqmix::skirmish
