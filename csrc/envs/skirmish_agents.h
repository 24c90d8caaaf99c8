// The agents' side: which of SMAC's actions are legal, and what each one orders.
//
// 0 no-op (dead only), 1 stop, 2-5 move north, south, east, west, 6 + k attack enemy k, or for a medivac heal
// ally k.
#pragma once

#include "envs/skirmish_battle.h"
#include "envs/skirmish_movement.h"

namespace powqmix::skirmish {

constexpr float kSight = 9.0f;  // seen: centre to centre, strictly below
constexpr float kShootRange =
    6.0f;  // may be attacked or healed: centre to centre, at most; for every unit type
constexpr float kMoveAmount = 2.0f;
constexpr int kFirstTarget = 6;  // actions before the targets

// Whether the cell a half move away is on the map and walkable. Conversion cuts towards 0, as SMAC's int()
// does.
inline bool can_move(const Battle& b, const Rules& rules, int u, float dx, float dy) {
  const int x = static_cast<int>(b.x[u] + dx), y = static_cast<int>(b.y[u] + dy);
  return x >= 0 && y >= 0 && x < kMapSize && y < kMapSize && rules.terrain->walkable(x, y);
}

// avail: [n_actions] of agent u.
inline void legal_actions(const Battle& b, const Rules& rules, int u, int n_actions, uint8_t* avail) {
  for (int a = 0; a < n_actions; ++a) avail[a] = 0;
  if (!b.alive(u)) {
    avail[0] = 1;
    return;
  }
  constexpr float kHalf = kMoveAmount / 2;
  avail[1] = 1;
  avail[2] = can_move(b, rules, u, 0, kHalf);
  avail[3] = can_move(b, rules, u, 0, -kHalf);
  avail[4] = can_move(b, rules, u, kHalf, 0);
  avail[5] = can_move(b, rules, u, -kHalf, 0);
  const bool heals = rules.of(b, u).weapon == Weapon::kHeal;
  const int first = heals ? 0 : b.n_allies, targets = n_actions - kFirstTarget;
  const int last = heals ? std::min(b.n_allies, targets) : b.n_units;
  for (int v = first; v < last; ++v) {
    const bool near = b.distance2(u, v) <= kShootRange * kShootRange;
    avail[kFirstTarget + v - first] = near && !(heals && rules.of(b, v).weapon == Weapon::kHeal);
  }
}

inline void drop_attack(Battle& b, int u) {
  b.target[u] = -1;
  b.engaged[u] = 0;
  b.swing[u] = 0;
}

// Gives agent u the order of `action`, which is legal. The same order again changes nothing: no attack starts
// anew.
inline void give_order(Battle& b, const Rules& rules, int u, int action) {
  if (action == 0) return;
  if (action < kFirstTarget) {
    constexpr float kX[] = {0, 0, 0, kMoveAmount, -kMoveAmount}, kY[] = {0, kMoveAmount, -kMoveAmount, 0, 0};
    drop_attack(b, u);
    b.order[u] = action == 1 ? kIdle : kMove;
    b.goal_x[u] = b.x[u] + kX[action - 1];
    b.goal_y[u] = b.y[u] + kY[action - 1];
    return;
  }
  const UnitStats& s = rules.of(b, u);
  const bool heals = s.weapon == Weapon::kHeal;
  const int target = action - kFirstTarget + (heals ? 0 : b.n_allies);
  if (!heals && !s.can_hit(rules.of(b, target))) return;  // the game refuses it; the order before holds
  if (b.target[u] == target && b.order[u] == (heals ? kHeal : kAttack)) return;
  drop_attack(b, u);
  b.target[u] = static_cast<int16_t>(target);
  b.order[u] = heals ? kHeal : kAttack;
}

}  // namespace powqmix::skirmish
