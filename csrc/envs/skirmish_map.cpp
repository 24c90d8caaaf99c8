#include "envs/skirmish_map.h"

#include <algorithm>
#include <cmath>

namespace powqmix::skirmish {

int unit_count(const std::vector<UnitGroup>& groups) {
  int count = 0;
  for (const UnitGroup& group : groups) count += group.count;
  return count;
}

std::vector<Point> pack_spawns(const std::vector<UnitType>& types, const std::vector<Point>& at,
                               const Profile& profile, const Terrain& terrain, Point flip) {
  constexpr int kRings = 80, kRays = 48;
  constexpr float kRingStep = 0.125f, kGap = 0.02f, kTurn = 6.2831853f;
  std::vector<Point> placed;
  for (size_t unit = 0; unit < types.size(); ++unit) {
    const UnitStats& stats = profile[types[unit]];
    Point found = at[unit];
    bool done = false;
    for (int ring = 0; ring < kRings && !done; ++ring) {
      for (int ray = 0; ray < (ring == 0 ? 1 : kRays) && !done; ++ray) {
        // Rays alternate north and south of due west, so that a pack is as even as its size allows.
        const int turn = (ray + 1) / 2 * (ray % 2 == 0 ? 1 : -1);
        const float angle = kTurn * 0.5f - kTurn * turn / kRays;
        const float dx = ring * kRingStep * std::cos(angle), dy = ring * kRingStep * std::sin(angle);
        const Point p{at[unit].x + flip.x * dx, at[unit].y + flip.y * dy};
        if (!stats.flies && terrain.layer(stats.walks_cliffs).distance(p.x, p.y) < WalkLayer::kClearance) {
          continue;
        }
        if (p.x < 0 || p.y < 0 || p.x >= kMapSize || p.y >= kMapSize) continue;
        done = true;
        for (size_t other = 0; other < unit && done; ++other) {
          const UnitStats& theirs = profile[types[other]];
          if (theirs.flies != stats.flies) continue;
          const float gap = stats.separation + theirs.separation + kGap;
          const float ox = placed[other].x - p.x, oy = placed[other].y - p.y;
          done = ox * ox + oy * oy >= gap * gap;
        }
        if (done) found = p;
      }
    }
    placed.push_back(found);
  }
  return placed;
}

}  // namespace powqmix::skirmish
