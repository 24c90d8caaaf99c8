#include "envs/skirmish_spawn.h"

#include <algorithm>
#include <numeric>

#include "envs/skirmish_separation.h"

namespace powqmix::skirmish {

namespace {

// Sorts units [first, last) by (type's place in `order`, x, y): how SMAC numbers its agents.
void sort_units(std::vector<UnitType>& types, std::vector<Point>& places, const std::vector<UnitType>& order,
                size_t last) {
  std::vector<size_t> index(last);
  std::iota(index.begin(), index.end(), size_t{0});
  const auto rank = [&](UnitType type) {
    return std::find(order.begin(), order.end(), type) - order.begin();
  };
  std::stable_sort(index.begin(), index.end(), [&](size_t a, size_t b) {
    if (rank(types[a]) != rank(types[b])) return rank(types[a]) < rank(types[b]);
    return places[a].x != places[b].x ? places[a].x < places[b].x : places[a].y < places[b].y;
  });
  const std::vector<UnitType> old_types = types;
  const std::vector<Point> old_places = places;
  for (size_t i = 0; i < last; ++i) {
    types[i] = old_types[index[i]];
    places[i] = old_places[index[i]];
  }
}

UnitType draw_type(const MapSpec& map, RandomStream& random) {
  float sum = 0;
  for (float weight : map.draw_weights) sum += weight;
  float left = random.uniform() * sum;
  for (size_t i = 0; i < map.draw_types.size(); ++i) {
    left -= map.draw_weights[i];
    if (left < 0) return map.draw_types[i];
  }
  return map.draw_types.back();
}

bool all_weak(const MapSpec& map, const std::vector<UnitType>& team) {
  return std::all_of(team.begin(), team.end(), [&](UnitType type) {
    return std::count(map.draw_weak_types.begin(), map.draw_weak_types.end(), type) > 0;
  });
}

// SMACv2's idea: the enemies get the allies' types and, where they are more, further ones; the allies start
// in the middle with the enemies on its diagonals, or both sides face each other mirrored.
Spawns draw_spawns(const MapSpec& map, RandomStream& random) {
  const int n_allies = unit_count(map.allies), n_enemies = unit_count(map.enemies);
  std::vector<UnitType> team(n_allies);
  do {
    for (UnitType& type : team) type = draw_type(map, random);
  } while (all_weak(map, team));
  Spawns s;
  s.types = team;
  for (int i = 0; i < n_enemies; ++i) s.types.push_back(i < n_allies ? team[i] : draw_type(map, random));
  s.places.resize(s.types.size());
  const float middle = kMapSize / 2.0f;
  if (random.uniform() < 0.5f) {
    Point corners[4];
    for (int k = 0; k < 4; ++k) {
      const float away = 5.0f + 4.0f * random.uniform();
      corners[k] = {middle + (k & 1 ? away : -away), middle + (k & 2 ? away : -away)};
    }
    for (int i = 0; i < n_allies; ++i) s.places[i] = {middle, middle};
    for (int i = 0; i < n_enemies; ++i) s.places[n_allies + i] = corners[random.below(4)];
  } else {
    for (size_t i = 0; i < s.types.size(); ++i) {
      const bool mirror = i >= static_cast<size_t>(n_allies) && i < static_cast<size_t>(2 * n_allies);
      if (mirror) {
        const Point p = s.places[i - n_allies];
        s.places[i] = {kMapSize - p.x, p.y};
      } else {
        const float x = 3.0f + 10.0f * random.uniform(), y = 5.0f + 22.0f * random.uniform();
        s.places[i] = {i < static_cast<size_t>(n_allies) ? x : kMapSize - x, y};
      }
    }
  }
  sort_units(s.types, s.places, map.types, n_allies);
  return s;
}

// Spreads units that overlap until they do not, or until it is clear that they cannot.
void spread(Battle& b, const Rules& rules) {
  for (int pass = 0; pass < 32; ++pass) {
    for (int u = 0; u < b.n_units; ++u) {
      b.moving[u] = 1;
      b.slack[u] = 0;
    }
    separate(b, rules, places(b));
  }
  std::fill(b.moving, b.moving + kMaxUnits, static_cast<uint8_t>(0));
}

Point middle(const std::vector<UnitGroup>& groups) {
  Point sum;
  for (const UnitGroup& group : groups) {
    sum.x += group.at.x * group.count / unit_count(groups);
    sum.y += group.at.y * group.count / unit_count(groups);
  }
  return sum;
}

Point centre(const Battle& b, int first, int last) {
  Point c;
  for (int u = first; u < last; ++u) {
    c.x += b.x[u] / (last - first);
    c.y += b.y[u] / (last - first);
  }
  return c;
}

// Attack-move: each unit keeps its place within its group, as far as the ground allows.
void set_march(Battle& b, const Rules& rules, int first, int last, March march, Point goal, Point own) {
  for (int u = first; u < last; ++u) {
    b.order[u] = kAttackMove;
    Point to{b.x[u], b.y[u]};
    const UnitStats& s = rules.of(b, u);
    if (march == March::kPoint || march == March::kBetween) {
      to = {goal.x + b.x[u] - own.x, goal.y + b.y[u] - own.y};
      if (!s.flies) to = rules.terrain->layer(s.walks_cliffs).project(to);
    }
    b.goal_x[u] = to.x;
    b.goal_y[u] = to.y;
  }
}

}  // namespace

Spawns make_spawns(const MapSpec& map, const Profile& profile, const Terrain& terrain) {
  Spawns s;
  std::vector<Point> at;
  const auto add = [&](const std::vector<UnitGroup>& groups, Point flip) {
    std::vector<UnitType> types;
    std::vector<Point> points;
    for (const UnitGroup& group : groups) {
      types.insert(types.end(), group.count, group.type);
      points.insert(points.end(), group.count, group.at);
    }
    const std::vector<Point> places = pack_spawns(types, points, profile, terrain, flip);
    s.types.insert(s.types.end(), types.begin(), types.end());
    s.places.insert(s.places.end(), places.begin(), places.end());
  };
  // The enemies' pack is the mirror image of the allies' in the line between them.
  const Point allies = middle(map.allies), enemies = middle(map.enemies);
  const bool across = std::abs(enemies.x - allies.x) >= std::abs(enemies.y - allies.y);
  add(map.allies, {1, 1});
  add(map.enemies, across ? Point{-1, 1} : Point{1, -1});
  std::vector<UnitType> order = map.types;
  if (order.empty()) order.push_back(map.allies[0].type);
  sort_units(s.types, s.places, order, unit_count(map.allies));
  return s;
}

void clear_units(Battle& b) {
  b = Battle{};
  for (int u = 0; u < kMaxUnits; ++u) {
    b.x[u] = kPaddingX + 100.0f * u;
    b.y[u] = kPaddingX;
    b.from_west[u] = static_cast<uint8_t>(u);
    b.target[u] = b.follow_target[u] = b.last_attacker[u] = b.shot_at[u] = b.last_action[u] = b.died[u] = -1;
  }
}

void start_battle(Battle& b, const MapSpec& map, const Spawns& fixed, const Rules& rules, float spawn_jitter,
                  RandomStream& random) {
  clear_units(b);
  b.key = static_cast<uint64_t>(random.next()) << 32;
  b.key |= random.next();
  b.n_allies = unit_count(map.allies);
  b.n_units = b.n_allies + unit_count(map.enemies);
  const bool drawn = map.teams == Teams::kRandom;
  Spawns own;
  if (drawn) own = draw_spawns(map, random);
  const Spawns& spawns = drawn ? own : fixed;
  for (int u = 0; u < b.n_units; ++u) {
    const UnitStats& s = rules.stats[spawns.types[u]];
    b.type[u] = spawns.types[u];
    b.x[u] = spawns.places[u].x;
    b.y[u] = spawns.places[u].y;
    b.health[u] = s.health;
    b.shield[u] = s.shield;
    b.energy[u] = s.energy;
    b.radius[u] = s.radius;
    b.separation[u] = s.separation;
    b.flying[u] = s.flies;
    b.rooted[u] = s.speed <= 0;
    b.face_x[u] = u < b.n_allies ? 1.0f : -1.0f;
    b.scan_wait[u] = static_cast<uint8_t>(draw(b, u, Draw::kScan) % 3);
  }
  if (spawn_jitter > 0) {
    for (int u = 0; u < b.n_units; ++u) {
      b.x[u] += spawn_jitter * (2 * draw_uniform(b, u, Draw::kJitterX) - 1);
      b.y[u] += spawn_jitter * (2 * draw_uniform(b, u, Draw::kJitterY) - 1);
    }
  }
  if (spawn_jitter > 0 || drawn) spread(b, rules);

  const Point allies = centre(b, 0, b.n_allies), enemies = centre(b, b.n_allies, b.n_units);
  Point goal = map.enemy_goal;
  if (map.enemy_march == March::kBetween) {
    const float t = draw_uniform(b, b.n_allies, Draw::kGoal);
    const int last = b.n_allies - 1;
    goal = {b.x[0] + t * (b.x[last] - b.x[0]), b.y[0] + t * (b.y[last] - b.y[0])};
  }
  set_march(b, rules, b.n_allies, b.n_units, map.enemy_march, drawn ? allies : goal, enemies);
  if (rules.ally_computer) {
    set_march(b, rules, 0, b.n_allies, map.ally_march, drawn ? enemies : map.ally_goal, allies);
  }
}

}  // namespace powqmix::skirmish
