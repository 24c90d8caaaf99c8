// Separation: circles that keep apart from each other and from walls.
//
// Friends that walk push friends that stand idle; who fights stands firm; enemies block: of two enemies only
// the one that walks gives way.
#pragma once

#include <algorithm>

#include "envs/skirmish_battle.h"
#include "envs/skirmish_movement.h"

namespace powqmix::skirmish {

// Pairs of units that touch or may do so after a correction, in the order of their x.
struct Pairs {
  static constexpr int kMost = kMaxUnits * (kMaxUnits - 1) / 2;
  static constexpr float kSkin = 0.2f;  // gap up to which a pair is kept for the later passes
  int count = 0;
  uint8_t first[kMost + 1], second[kMost + 1];
};

// Insertion sort: the order of one loop is almost that of the next.
inline void sort_by_x(Battle& b) {
  for (int i = 1; i < b.n_units; ++i) {
    const uint8_t u = b.by_x[i];
    int j = i;
    for (; j > 0 && b.x[b.by_x[j - 1]] > b.x[u]; --j) b.by_x[j] = b.by_x[j - 1];
    b.by_x[j] = u;
  }
}

// Sweeps over the living in the order of their x: only who is near in x is looked at.
inline void find_pairs(Battle& b, Pairs& pairs) {
  sort_by_x(b);
  float x[kMaxUnits], y[kMaxUnits], reach[kMaxUnits], widest = 0;
  int n = 0;
  for (; n < b.n_units && b.alive(b.by_x[n]); ++n) {  // the dead stand far to the east
    const int u = b.by_x[n];
    x[n] = b.x[u];
    y[n] = b.y[u];
    reach[n] = b.separation[u];
    widest = std::max(widest, reach[n]);
  }
  for (int i = 0; i < n; ++i) {
    const float mine = reach[i] + Pairs::kSkin, end = x[i] + mine + widest;
    for (int j = i + 1; j < n && x[j] < end; ++j) {
      const float dx = x[j] - x[i], dy = y[j] - y[i], wanted = mine + reach[j];
      pairs.first[pairs.count] = b.by_x[i];
      pairs.second[pairs.count] = b.by_x[j];
      pairs.count += dx * dx + dy * dy < wanted * wanted;
    }
  }
}

// Sums of the corrections of one pass, all taken from the same positions: no unit is corrected before
// another.
struct Pushes {
  explicit Pushes(int n_units) {  // the rest is never looked at
    std::fill_n(x, n_units, 0.0f);
    std::fill_n(y, n_units, 0.0f);
    std::fill_n(count, n_units, uint8_t{0});
  }
  float x[kMaxUnits], y[kMaxUnits];
  uint8_t count[kMaxUnits];
};

// u's part of the correction of an overlap with v; v's part is the same question the other way round.
inline float yield_share(const Battle& b, int u, int v) {
  if (b.rooted[u]) return 0.0f;
  if (b.rooted[v]) return 1.0f;
  if (b.moving[u] == b.moving[v]) return 0.5f;
  const int still = b.moving[u] ? v : u;
  // Enemies block, friends that fight stand firm, idle friends make way as far as who pushes them yields.
  const bool firm = b.is_ally(u) != b.is_ally(v) || b.engaged[still];
  return !firm ? 0.5f : still == u ? 0.0f : 1.0f;
}

// Where the way of u, which walks to a fight, is closed by v: begins a detour on the side that v leaves open.
inline void begin_detour(Battle& b, int u, int v, float nx, float ny) {
  if (!b.moving[u] || b.moving[v] || !b.engaged[v] || b.order[u] == kMove || b.is_ally(u) != b.is_ally(v))
    return;
  const float ahead = b.face_x[u] * nx + b.face_y[u] * ny, left = b.face_x[u] * ny - b.face_y[u] * nx;
  if (ahead <= 0.3f) return;
  if (b.detour[u] == 0) b.detour_side[u] = left > 0 ? -1 : 1;
  b.detour[u] = kDetourMemory;
}

inline void push(Pushes& pushes, int u, float x, float y) {
  pushes.x[u] += x;
  pushes.y[u] += y;
  ++pushes.count[u];
}

// Whether u and v overlapped and one of them has to give way.
inline bool push_apart(Battle& b, int u, int v, Pushes& pushes) {
  const float dx = b.x[v] - b.x[u], dy = b.y[v] - b.y[u];
  const float reach = b.separation[u] + b.separation[v];
  const float d2 = dx * dx + dy * dy;
  if (d2 >= reach * reach || b.flying[u] != b.flying[v]) return false;
  const float far = std::sqrt(d2);
  // Two units on one point part along a direction that depends on which they are, nothing else.
  const float nx = far > 1e-5f ? dx / far : (u & 1 ? 0.8f : -0.6f);
  const float ny = far > 1e-5f ? dy / far : (u & 2 ? 0.6f : -0.8f);
  begin_detour(b, u, v, nx, ny);
  begin_detour(b, v, u, -nx, -ny);
  const float overlap = reach - far;
  const float mine = overlap * yield_share(b, u, v), theirs = overlap * yield_share(b, v, u);
  if (mine > 0) push(pushes, u, -nx * mine, -ny * mine);
  if (theirs > 0) push(pushes, v, nx * theirs, ny * theirs);
  return mine > 0 || theirs > 0;
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

// Loop phase 4: those that walked make room, in passes until nothing overlaps or kPasses are done.
inline void separate(Battle& b, const Rules& rules) {
  constexpr int kPasses = 2;
  bool active[kMaxUnits];  // has walked or was pushed: may have come closer to others
  bool any = false;
  for (int u = 0; u < b.n_units; ++u) {
    active[u] = b.moving[u];
    any |= active[u];
  }
  if (!any) return;
  Pairs pairs;
  find_pairs(b, pairs);
  for (int pass = 0; pass < kPasses; ++pass) {
    Pushes pushes(b.n_units);
    bool pushed = false;
    for (int k = 0; k < pairs.count; ++k) {
      const int u = pairs.first[k], v = pairs.second[k];
      if (active[u] || active[v]) pushed |= push_apart(b, u, v, pushes);
    }
    if (!pushed) break;
    for (int u = 0; u < b.n_units; ++u) {
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
  for (int u = 0; u < b.n_units; ++u) {
    if (active[u]) keep_off_walls(b, rules, u);
  }
}

}  // namespace powqmix::skirmish
