// Separation: circles that keep apart from each other and from walls.
//
// Friends that walk push friends that stand idle; who fights stands firm; enemies block: of two enemies only
// the one that walks gives way.
#pragma once

#include <algorithm>
#include <cstring>

#include "envs/skirmish_battle.h"
#include "envs/skirmish_lanes.h"
#include "envs/skirmish_movement.h"

namespace powqmix::skirmish {

// How firmly a unit holds its place.
enum Stance : uint8_t {
  kRooted,  // cannot move
  kWalks,
  kFights,  // stands, in range of its target
  kIdles,
  kStances,
};

// Of an overlap with [v], the part that [u] gives way in a loop; by whether they are enemies. Enemies part
// at once, so do friends of whom one stands; friends on the march part by half: crowds can be squeezed.
constexpr float kShare[2][kStances][kStances] = {
    // v: rooted, walks, fights, idles
    {{0, 0, 0, 0}, {1, 0.25f, 1, 0.25f}, {1, 0, 0.5f, 0.5f}, {1, 0.25f, 0.5f, 0.5f}},
    {{0, 0, 0, 0}, {1, 0.5f, 1, 1}, {1, 0, 0.5f, 0.5f}, {1, 0, 0.5f, 0.5f}},
};

// The living in the order of their western edges, and the pairs among them that touch or may do so after a
// correction.
struct Crowd {
  static constexpr int kMostPairs = kMaxUnits * (kMaxUnits - 1) / 2;
  static constexpr float kSkin = 0.1f;  // gap up to which a pair is kept
  int n = 0, pairs = 0;
  float west[kMaxUnits + kLanes];  // x - reach
  float x[kMaxUnits + kLanes], y[kMaxUnits + kLanes], reach[kMaxUnits + kLanes];
  int32_t layer[kMaxUnits + kLanes];  // who flies, and who does not
  uint8_t unit[kMaxUnits];
  uint8_t group[kMaxUnits];   // bit 0: side, bit 1: flies
  uint8_t stance[kMaxUnits];  // Stance
  uint8_t active[kMaxUnits];  // has walked or was pushed
  uint8_t first[kMostPairs + kLanes], second[kMostPairs + kLanes];
};

// Insertion sort: the order of one loop is almost that of the next.
inline void sort_from_west(Battle& b, float* west) {
  for (int u = 0; u < whole_lanes(b.n_units); ++u) west[u] = b.x[u] - b.separation[u];
  for (int i = 1; i < b.n_units; ++i) {
    const uint8_t u = b.from_west[i];
    int j = i;
    for (; j > 0 && west[b.from_west[j - 1]] > west[u]; --j) b.from_west[j] = b.from_west[j - 1];
    b.from_west[j] = u;
  }
}

// Lists those of units [j, j + kLanes) that touch unit i.
inline void list_touching(Crowd& crowd, int i, int j, float mine, float east) {
  Floats x, y, reach, west;
  Truths layer;
  load(&crowd.x[j], x);
  load(&crowd.y[j], y);
  load(&crowd.reach[j], reach);
  load(&crowd.west[j], west);
  load(&crowd.layer[j], layer);
  const Floats dx = x - crowd.x[i], dy = y - crowd.y[i], wanted = reach + mine;
  const uint32_t bits =
      bits_of((dx * dx + dy * dy < wanted * wanted) & (west < east) & (layer == crowd.layer[i]));
  std::memset(&crowd.first[crowd.pairs], i, kLanes);
  crowd.pairs += list_members(bits, j, &crowd.second[crowd.pairs]);
}

// Sweeps along x: only who is near in x is looked at.
inline void gather(Battle& b, Crowd& crowd) {
  float west[kMaxUnits];  // of unit u
  sort_from_west(b, west);
  for (; crowd.n < b.n_units && b.alive(b.from_west[crowd.n]); ++crowd.n) {  // the dead stand far to the east
    const int i = crowd.n, u = b.from_west[i];
    crowd.unit[i] = static_cast<uint8_t>(u);
    crowd.west[i] = west[u];
    crowd.x[i] = b.x[u];
    crowd.y[i] = b.y[u];
    crowd.reach[i] = b.separation[u];
    crowd.layer[i] = b.flying[u];
    crowd.group[i] = static_cast<uint8_t>(b.is_ally(u) + 2 * b.flying[u]);
    crowd.stance[i] = b.rooted[u] ? kRooted : b.moving[u] ? kWalks : b.engaged[u] ? kFights : kIdles;
    crowd.active[i] = b.moving[u];
  }
  for (int j = crowd.n; j < crowd.n + kLanes; ++j) crowd.west[j] = kPaddingX;
  for (int i = 0; i < crowd.n; ++i) {
    const float mine = crowd.reach[i] + Crowd::kSkin, east = crowd.x[i] + mine;
    for (int j = i + 1; j < crowd.n && crowd.west[j] < east; j += kLanes) {
      list_touching(crowd, i, j, mine, east);
    }
  }
}

// The way of u, which walks to a fight, is closed by a friend: begins a detour on the side that it leaves
// open.
inline void begin_detour(Battle& b, int u, float nx, float ny) {
  const float ahead = b.face_x[u] * nx + b.face_y[u] * ny, left = b.face_x[u] * ny - b.face_y[u] * nx;
  if (ahead <= 0.3f || b.order[u] == kMove) return;
  if (b.detour[u] == 0) b.detour_side[u] = left > 0 ? -1 : 1;
  b.detour[u] = kDetourMemory;
}

// Moves two units that overlap apart; returns whether they did.
inline bool push_apart(Battle& b, Crowd& crowd, int i, int j) {
  const float dx = crowd.x[j] - crowd.x[i], dy = crowd.y[j] - crowd.y[i];
  const float reach = crowd.reach[i] + crowd.reach[j], d2 = dx * dx + dy * dy;
  if (d2 >= reach * reach) return false;
  const float far = std::sqrt(d2), inverse = far > 1e-5f ? 1.0f / far : 0.0f;
  // Two units on one point part along a direction that depends on which they are, nothing else.
  const float nx = far > 1e-5f ? dx * inverse : (crowd.unit[i] & 1 ? 0.8f : -0.6f);
  const float ny = far > 1e-5f ? dy * inverse : (crowd.unit[i] & 2 ? 0.6f : -0.8f);
  const int one = crowd.stance[i], other = crowd.stance[j];
  const bool enemies = crowd.group[i] != crowd.group[j];
  if (!enemies) {
    if (one == kWalks && other == kFights) begin_detour(b, crowd.unit[i], nx, ny);
    if (one == kFights && other == kWalks) begin_detour(b, crowd.unit[j], -nx, -ny);
  }
  const float mine = (reach - far) * kShare[enemies][one][other];
  const float theirs = (reach - far) * kShare[enemies][other][one];
  crowd.x[i] -= nx * mine;
  crowd.y[i] -= ny * mine;
  crowd.x[j] += nx * theirs;
  crowd.y[j] += ny * theirs;
  crowd.active[i] |= mine > 0;
  crowd.active[j] |= theirs > 0;
  return true;
}

// Keeps a unit off walls and inside the map. The distance field is read only when a wall may have come near.
inline void keep_off_walls(Battle& b, const Rules& rules, int u) {
  if (b.slack[u] > 0) return;
  const UnitStats& s = rules.of(b, u);
  if (s.flies) {
    b.x[u] = std::min(std::max(b.x[u], 0.1f), kMapSize - 0.1f);
    b.y[u] = std::min(std::max(b.y[u], 0.1f), kMapSize - 0.1f);
    b.slack[u] = 0;
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

// Who walked and was squeezed deeper between enemies and walls goes back to where it was: nobody slips
// through a line of enemies that stands.
inline void hold_lines(Battle& b, const Crowd& crowd, const Places& before) {
  constexpr float kTolerance = 0.9f;  // of the distance at which two units touch
  for (int k = 0; k < crowd.pairs; ++k) {
    const int i = crowd.first[k], j = crowd.second[k];
    if (crowd.group[i] == crowd.group[j]) continue;
    const int u = crowd.unit[i], v = crowd.unit[j];
    const float touch = kTolerance * (crowd.reach[i] + crowd.reach[j]), now = b.distance2(u, v);
    const float dx = before.x[v] - before.x[u], dy = before.y[v] - before.y[u];
    if (now >= touch * touch || now >= dx * dx + dy * dy) continue;
    for (const int w : {u, v}) {
      if (!b.moving[w]) continue;
      b.x[w] = before.x[w];
      b.y[w] = before.y[w];
      b.slack[w] = 0;
    }
  }
}

// Loop phase 4: those that walked make room, pair after pair, from the west and from the east in turn, so
// that no side of the map comes first. `before`: where all stood at the loop's start.
inline void separate(Battle& b, const Rules& rules, const Places& before) {
  bool any = b.crowded != 0;
  for (int u = 0; u < b.n_units; ++u) any |= b.moving[u] != 0;
  if (!any) return;
  Crowd crowd;
  gather(b, crowd);
  const bool eastward = b.loop % 2 == 0;
  bool pushed = false, enemies_met = false;
  for (int k = 0; k < crowd.pairs; ++k) {
    const int pair = eastward ? k : crowd.pairs - 1 - k;
    const int i = crowd.first[pair], j = crowd.second[pair];
    if (!push_apart(b, crowd, i, j)) continue;
    pushed = true;
    enemies_met |= crowd.group[i] != crowd.group[j];
  }
  b.crowded = pushed;
  for (int i = 0; i < crowd.n; ++i) {
    if (!crowd.active[i]) continue;
    const int u = crowd.unit[i];
    b.slack[u] -= std::abs(crowd.x[i] - b.x[u]) + std::abs(crowd.y[i] - b.y[u]);
    b.x[u] = crowd.x[i];
    b.y[u] = crowd.y[i];
    keep_off_walls(b, rules, u);
  }
  if (enemies_met) hold_lines(b, crowd, before);
}

}  // namespace powqmix::skirmish
