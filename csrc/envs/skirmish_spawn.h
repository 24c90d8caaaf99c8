// The start of an episode: places every unit of a map, fixed or drawn, and tells the computer's side where to
// go.
#pragma once

#include "envs/skirmish_battle.h"
#include "envs/skirmish_map.h"

namespace powqmix::skirmish {

// The part of a map's start that is the same each episode: the packed places of every unit, agents in the
// order of their ids (type, x, y).
struct Spawns {
  std::vector<UnitType> types;
  std::vector<Point> places;
};

Spawns make_spawns(const MapSpec& map, const Profile& profile, const Terrain& terrain);

// Makes b a fresh episode; `spawn_jitter` moves every unit by up to that much in x and y. Random numbers:
// random only.
void start_battle(Battle& b, const MapSpec& map, const Spawns& spawns, const Rules& rules, float spawn_jitter,
                  RandomStream& random);

// Makes every slot of b that of a dead unit.
void clear_units(Battle& b);

}  // namespace powqmix::skirmish
