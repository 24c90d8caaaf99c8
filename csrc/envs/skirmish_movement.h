// Movement: constant speed, instant turns, way-finding around walls, circles that keep apart.
//
// Friends that walk push friends that stand idle; who fights stands firm; enemies block: of two enemies only
// the one that walks gives way.
#pragma once

#include <algorithm>

#include "envs/skirmish_battle.h"

namespace powqmix::skirmish {

constexpr float kRangeSlop = 1.0f;  // how far beyond its range an attacker keeps firing
constexpr float kHealSlop = 0.5f;
// Who runs into a friend that stands and fights walks around it: for kDetourLoops at 60 degrees to its way,
// and on the same side if it runs into another one within kDetourMemory loops.
constexpr int kDetourLoops = 3, kDetourMemory = 16;
constexpr float kDetourCosine = 0.5f, kDetourSine = 0.8660254f;

// Where everybody will stand: all decide by where the others stood at the loop's start, so no side moves
// first.
struct Steps {
  float x[kMaxUnits], y[kMaxUnits];
};

// Walks up to `reach` towards `to`; returns whether it arrives there.
inline bool walk(Battle& b, const Rules& rules, int u, Point to, float reach, Steps& steps) {
  const UnitStats& s = rules.of(b, u);
  Point way = to;
  if (!s.flies) way = rules.terrain->layer(s.walks_cliffs).waypoint({b.x[u], b.y[u]}, to);
  const bool direct = way.x == to.x && way.y == to.y;
  const float dx = way.x - b.x[u], dy = way.y - b.y[u];
  const float far = std::sqrt(dx * dx + dy * dy);
  if (far < 1e-4f) return direct;
  const float go = std::min(direct ? std::min(s.speed, reach) : s.speed, far);
  b.face_x[u] = dx / far;
  b.face_y[u] = dy / far;
  if (b.detour[u] > 0) {
    --b.detour[u];
  }
  if (b.detour[u] >= kDetourMemory - kDetourLoops) {
    const float x = b.face_x[u], y = b.face_y[u], side = kDetourSine * b.detour_side[u];
    b.face_x[u] = kDetourCosine * x - side * y;
    b.face_y[u] = kDetourCosine * y + side * x;
  }
  steps.x[u] = b.x[u] + b.face_x[u] * go;
  steps.y[u] = b.y[u] + b.face_y[u] * go;
  b.slack[u] -= go;
  b.moving[u] = 1;
  return direct && far - go < 1e-3f;
}

// Approaches the target, or stands and fights it. Leaving range + slop drops a started attack.
inline void pursue(Battle& b, const Rules& rules, int u, float range, float slop, Steps& steps) {
  const int target = b.target[u];
  const float dx = b.x[target] - b.x[u], dy = b.y[target] - b.y[u];
  const float gap = std::sqrt(dx * dx + dy * dy) - b.radius[u] - b.radius[target];
  if (gap <= range + (b.engaged[u] ? slop : 0.0f)) {
    b.engaged[u] = 1;
    const float norm = std::max(1e-6f, gap + b.radius[u] + b.radius[target]);
    b.face_x[u] = dx / norm;
    b.face_y[u] = dy / norm;
    return;
  }
  b.engaged[u] = 0;
  b.swing[u] = 0;
  if (rules.of(b, u).speed <= 0) return;
  walk(b, rules, u, {b.x[target], b.y[target]}, gap - range + 1e-3f, steps);
}

// Loop phase 3: everybody moves by its order.
inline void move(Battle& b, const Rules& rules) {
  Steps steps;
  for (int u = 0; u < b.n_units; ++u) {
    steps.x[u] = b.x[u];
    steps.y[u] = b.y[u];
  }
  for (int u = 0; u < b.n_units; ++u) {
    b.moving[u] = 0;
    if (b.order[u] == kIdle || !b.alive(u)) continue;
    const int target = b.target[u];
    if (target >= 0 && !b.alive(target)) {
      b.target[u] = -1;
      b.engaged[u] = 0;
      b.swing[u] = 0;
      if (b.order[u] != kAttackMove) b.order[u] = kIdle;
      continue;  // the computer looks for another one in its next scan, an agent waits for its next order
    }
    const UnitStats& s = rules.of(b, u);
    if (target >= 0) {
      pursue(b, rules, u, s.range, s.weapon == Weapon::kHeal ? kHealSlop : kRangeSlop, steps);
    } else if (s.speed > 0) {
      const bool arrived = walk(b, rules, u, {b.goal_x[u], b.goal_y[u]}, 2.0f * kMapSize, steps);
      if (arrived && b.order[u] == kMove) b.order[u] = kIdle;
    }
  }
  for (int u = 0; u < b.n_units; ++u) {
    b.x[u] = steps.x[u];
    b.y[u] = steps.y[u];
  }
}

// u's part of the correction of an overlap with v; v's part is the same question the other way round.
inline float yield_share(const Battle& b, const Rules& rules, int u, int v) {
  if (rules.of(b, u).speed <= 0) return 0.0f;
  if (rules.of(b, v).speed <= 0) return 1.0f;
  if (b.moving[u] == b.moving[v]) return 0.5f;
  const int still = b.moving[u] ? v : u;
  // Enemies block, friends that fight stand firm, idle friends make way as far as who pushes them yields.
  const bool firm = b.is_ally(u) != b.is_ally(v) || b.engaged[still];
  return !firm ? 0.5f : still == u ? 0.0f : 1.0f;
}

// Sums of the corrections of one pass, all taken from the same positions: no unit is corrected before
// another.
struct Pushes {
  float x[kMaxUnits], y[kMaxUnits];
  int count[kMaxUnits];
};

// Where the way of u, which walks to a fight, is closed by v: begins a detour on the side that v leaves open.
inline void begin_detour(Battle& b, int u, int v, float nx, float ny) {
  if (!b.moving[u] || b.moving[v] || !b.engaged[v] || b.order[u] == kMove || b.is_ally(u) != b.is_ally(v))
    return;
  const float ahead = b.face_x[u] * nx + b.face_y[u] * ny, left = b.face_x[u] * ny - b.face_y[u] * nx;
  if (ahead <= 0.3f) return;
  if (b.detour[u] == 0) b.detour_side[u] = left > 0 ? -1 : 1;
  b.detour[u] = kDetourMemory;
}

inline void push_apart(Battle& b, const Rules& rules, int u, int v, Pushes& pushes) {
  const float dx = b.x[v] - b.x[u], dy = b.y[v] - b.y[u];
  const float reach = b.separation[u] + b.separation[v];
  const float d2 = dx * dx + dy * dy;
  if (d2 >= reach * reach || rules.of(b, u).flies != rules.of(b, v).flies) return;
  const float far = std::sqrt(d2);
  // Two units on one point part along a direction that depends on which they are, nothing else.
  const float nx = far > 1e-5f ? dx / far : (u & 1 ? 0.8f : -0.6f);
  const float ny = far > 1e-5f ? dy / far : (u & 2 ? 0.6f : -0.8f);
  begin_detour(b, u, v, nx, ny);
  begin_detour(b, v, u, -nx, -ny);
  const float overlap = reach - far;
  const float mine = overlap * yield_share(b, rules, u, v), theirs = overlap * yield_share(b, rules, v, u);
  if (mine > 0) {
    pushes.x[u] -= nx * mine;
    pushes.y[u] -= ny * mine;
    ++pushes.count[u];
  }
  if (theirs > 0) {
    pushes.x[v] += nx * theirs;
    pushes.y[v] += ny * theirs;
    ++pushes.count[v];
  }
}

// Keeps a unit off walls and inside the map. The distance field is read only when a wall may have come near.
inline void keep_off_walls(Battle& b, const Rules& rules, int u) {
  if (b.slack[u] > 0) return;
  const UnitStats& s = rules.of(b, u);
  if (s.flies) {
    b.x[u] = std::min(std::max(b.x[u], 0.1f), kMapSize - 0.1f);
    b.y[u] = std::min(std::max(b.y[u], 0.1f), kMapSize - 0.1f);
    return;
  }
  const WalkLayer& layer = rules.terrain->layer(s.walks_cliffs);
  Point p{b.x[u], b.y[u]};
  const float d = layer.distance(p.x, p.y);
  if (d >= WalkLayer::kClearance) {
    b.slack[u] = d - WalkLayer::kClearance;
    return;
  }
  p = layer.project(p);
  b.x[u] = p.x;
  b.y[u] = p.y;
  b.slack[u] = 0;
}

// Adds up what every overlap of a unit that may have come closer to others asks for; whether there is one.
inline bool find_overlaps(Battle& b, const Rules& rules, const bool* active, Pushes& pushes) {
  constexpr int kBlock = 16;
  const int n = b.n_units;
  bool any = false;
  for (int u = 0; u < n; ++u) {
    if (!active[u]) continue;
    const float ux = b.x[u], uy = b.y[u], us = b.separation[u];
    for (int block = 0; block < n; block += kBlock) {
      int touched = 0;
      for (int k = 0; k < kBlock; ++k) {
        const float dx = b.x[block + k] - ux, dy = b.y[block + k] - uy, reach = us + b.separation[block + k];
        touched += dx * dx + dy * dy < reach * reach;
      }
      if (touched == 0 || (touched == 1 && u >= block && u < block + kBlock)) continue;
      any = true;
      const int last = std::min(n, block + kBlock);
      for (int v = block; v < last; ++v) {
        // A pair of two active units is met twice and counted once.
        if (v > u || (v != u && !active[v])) push_apart(b, rules, u, v, pushes);
      }
    }
  }
  return any;
}

// Loop phase 4: those that walked make room, in passes until nothing overlaps or kPasses are done.
inline void separate(Battle& b, const Rules& rules) {
  constexpr int kPasses = 2;
  const int n = b.n_units;
  bool active[kMaxUnits];
  for (int u = 0; u < n; ++u) active[u] = b.moving[u];
  for (int pass = 0; pass < kPasses; ++pass) {
    Pushes pushes;
    for (int u = 0; u < n; ++u) {
      pushes.x[u] = pushes.y[u] = 0;
      pushes.count[u] = 0;
    }
    if (!find_overlaps(b, rules, active, pushes)) break;
    for (int u = 0; u < n; ++u) {
      if (pushes.count[u] == 0) continue;
      // Several pushes are averaged, and a little more: their plain sum would throw crowds about.
      const float scale = pushes.count[u] == 1 ? 1.0f : 1.5f / pushes.count[u];
      const float px = pushes.x[u] * scale, py = pushes.y[u] * scale;
      b.x[u] += px;
      b.y[u] += py;
      b.slack[u] -= std::abs(px) + std::abs(py);
      active[u] = true;
    }
  }
  for (int u = 0; u < n; ++u) {
    if (b.alive(u)) keep_off_walls(b, rules, u);
  }
}

}  // namespace powqmix::skirmish
