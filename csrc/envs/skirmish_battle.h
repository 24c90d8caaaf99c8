// Battle: everything that changes in one environment, as a struct of arrays, and the rules that do not
// change.
//
// Units 0 .. n_allies - 1 are the agents, n_allies .. n_units - 1 the enemies. A dead unit has health 0 and
// stands far outside at a place of its own, so that no distance test needs to ask whether it lives. Plain
// data without pointers: copying the bytes is saving the game.
#pragma once

#include <cmath>
#include <cstdint>

#include "envs/skirmish_terrain.h"
#include "envs/skirmish_units.h"
#include "powqmix/random.h"

namespace powqmix::skirmish {

enum Order : uint8_t {
  kIdle,
  kMove,        // to (goal_x, goal_y)
  kAttack,      // `target`, until it or the order dies
  kHeal,        // `target`
  kAttackMove,  // the computer's order: to the goal, fighting what it meets
};

constexpr float kPaddingX = 1e4f;  // where the dead are

struct alignas(64) Battle {
  float x[kMaxUnits], y[kMaxUnits];
  float health[kMaxUnits], shield[kMaxUnits], energy[kMaxUnits];
  float cooldown[kMaxUnits];   // loops until an attack may start
  float swing[kMaxUnits];      // loops until the started attack hits; 0: none started
  float follow_up[kMaxUnits];  // loops until the second hit of the last attack; 0: none due
  float goal_x[kMaxUnits], goal_y[kMaxUnits];
  float radius[kMaxUnits], separation[kMaxUnits];  // copies of the type's, for vector loops
  float slack[kMaxUnits];                          // how far it may still go before it can touch a wall
  float face_x[kMaxUnits], face_y[kMaxUnits];      // direction of the last movement or shot
  float fell_x[kMaxUnits], fell_y[kMaxUnits];      // where a dead unit died, for pictures
  int16_t died[kMaxUnits];                         // in which step; -1: alive, or never lived
  int16_t target[kMaxUnits], follow_target[kMaxUnits];
  int16_t last_attacker[kMaxUnits];  // who hurt it last; -1: nobody
  int16_t shot_at[kMaxUnits];        // whom it hit or healed in this step; -1: nobody
  int16_t
      shield_wait[kMaxUnits];  // loops until the shield grows again; counts from the last blow for every unit
  uint8_t type[kMaxUnits];
  uint8_t order[kMaxUnits];
  uint8_t scan_wait[kMaxUnits];   // loops until the computer looks around again
  uint8_t engaged[kMaxUnits];     // has been in range of its target: stands until that is out of range + slop
  uint8_t moving[kMaxUnits];      // walked in this loop
  uint8_t detour[kMaxUnits];      // loops for which it still walks around friends that stand in its way
  int8_t detour_side[kMaxUnits];  // 1: to its left, -1: to its right
  uint8_t flying[kMaxUnits], rooted[kMaxUnits];  // of the type: flies; cannot move
  uint8_t from_west[kMaxUnits];    // all units in the order of their western edges, as of the last loop
  int16_t last_action[kMaxUnits];  // of agents, -1 before the first step
  uint8_t crowded;                 // whether units overlapped in the last loop
  int32_t n_allies, n_units;
  int32_t step;
  uint32_t loop;
  float max_reward;  // of this episode's teams
  uint64_t key;      // of this episode's random numbers

  bool alive(int u) const { return health[u] > 0.0f; }
  bool is_ally(int u) const { return u < n_allies; }
  // The other side's units are [foes_begin, foes_end).
  int foes_begin(int u) const { return is_ally(u) ? n_allies : 0; }
  int foes_end(int u) const { return is_ally(u) ? n_units : n_allies; }
  int friends_begin(int u) const { return is_ally(u) ? 0 : n_allies; }
  int friends_end(int u) const { return is_ally(u) ? n_allies : n_units; }
  float distance2(int u, int v) const {
    const float dx = x[v] - x[u], dy = y[v] - y[u];
    return dx * dx + dy * dy;
  }
  // Whether v is at most `range` away from u, edge to edge.
  bool within(int u, int v, float range) const {
    const float reach = range + radius[u] + radius[v];
    return distance2(u, v) <= reach * reach;
  }
};

// What random numbers are for: one stream each, so that one rule's draw never shifts another's.
enum class Draw : uint32_t { kCooldown, kScan, kTurnOrder, kGoal, kJitterX, kJitterY, kScript };

// A pure function of (episode, loop, unit, purpose).
inline uint32_t draw(const Battle& b, int u, Draw purpose) {
  const uint64_t counter = (static_cast<uint64_t>(b.loop) << 16) | (static_cast<uint64_t>(u) << 4) |
                           static_cast<uint64_t>(purpose);
  return static_cast<uint32_t>(mix_key(b.key, counter) >> 32);
}
inline float draw_uniform(const Battle& b, int u, Draw purpose) {  // [0, 1)
  return static_cast<float>(draw(b, u, purpose) >> 8) * (1.0f / 16777216.0f);
}

// What every battle of one environment id shares.
struct Rules {
  Profile stats;
  const Terrain* terrain = nullptr;
  bool ally_computer = false;        // the computer plays the allies too ("mirror")
  bool enemy_seeks_nearest = false;  // March::kNearest
  bool ally_seeks_nearest = false;

  const UnitStats& of(const Battle& b, int u) const { return stats[b.type[u]]; }
};

}  // namespace powqmix::skirmish
