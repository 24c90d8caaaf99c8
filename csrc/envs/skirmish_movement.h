// Movement: constant speed, instant turns, way-finding around walls.
#pragma once

#include <algorithm>

#include "envs/skirmish_battle.h"

namespace powqmix::skirmish {

// Who runs into a friend that stands and fights walks around it (separation says when): for kDetourLoops at
// 35 degrees to its way, and on the same side if it runs into another one within kDetourMemory loops.
constexpr int kDetourLoops = 5, kDetourMemory = 16;
constexpr float kDetourCosine = 0.819152f, kDetourSine = 0.573576f;

// Where everybody stands at one moment.
struct Places {
  float x[kMaxUnits], y[kMaxUnits];
};

inline Places places(const Battle& b) {
  Places p;
  std::copy_n(b.x, b.n_units, p.x);
  std::copy_n(b.y, b.n_units, p.y);
  return p;
}

// Walks up to `reach` towards `to`; returns whether it arrives there.
inline bool walk(Battle& b, const Rules& rules, int u, Point to, float reach) {
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
  b.x[u] += b.face_x[u] * go;
  b.y[u] += b.face_y[u] * go;
  b.slack[u] -= go;
  b.moving[u] = 1;
  return direct && far - go < 1e-3f;
}

// Approaches the target, or stands and fights it. Leaving range + slop drops a started attack.
inline void pursue(Battle& b, const Rules& rules, int u, const Places& before) {
  const UnitStats& s = rules.of(b, u);
  const int target = b.target[u];
  const Point at{before.x[target], before.y[target]};
  const float dx = at.x - b.x[u], dy = at.y - b.y[u];
  const float gap = std::sqrt(dx * dx + dy * dy) - b.radius[u] - b.radius[target];
  if (gap <= s.range + (b.engaged[u] ? s.slop : 0.0f)) {
    b.engaged[u] = 1;
    const float norm = std::max(1e-6f, gap + b.radius[u] + b.radius[target]);
    b.face_x[u] = dx / norm;
    b.face_y[u] = dy / norm;
    return;
  }
  b.engaged[u] = 0;
  b.swing[u] = 0;
  if (s.speed <= 0) return;
  walk(b, rules, u, at, gap - s.range + 1e-3f);
}

// Loop phase 3: everybody moves by its order. All decide by where the others stood at the loop's start
// (`before`), so no side moves first.
inline void move(Battle& b, const Rules& rules, const Places& before) {
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
    if (target >= 0) {
      pursue(b, rules, u, before);
    } else if (rules.of(b, u).speed > 0) {
      const bool arrived = walk(b, rules, u, {b.goal_x[u], b.goal_y[u]}, 2.0f * kMapSize);
      if (arrived && b.order[u] == kMove) b.order[u] = kIdle;
    }
  }
}

}  // namespace powqmix::skirmish
