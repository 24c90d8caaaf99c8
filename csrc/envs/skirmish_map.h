// A map: who fights whom, where they start, what the enemies are told, and how long it may take.
#pragma once

#include <string>
#include <vector>

#include "envs/skirmish_terrain.h"
#include "envs/skirmish_units.h"

namespace powqmix::skirmish {

struct UnitGroup {
  UnitType type;
  int count;
  Point at;
};

// What a side that is played by the computer does where it sees nobody.
enum class March : uint8_t {
  kNone,     // stays (spine crawler)
  kPoint,    // attack-move to `goal`
  kNearest,  // attack-move to the nearest foe, wherever it is
  kBetween,  // attack-move to a random point between the foes' first and last unit, drawn at the start
};

// How the teams of an episode come about.
enum class Teams : uint8_t {
  kFixed,   // `allies` and `enemies`, always
  kRandom,  // unit types and positions are drawn each episode (SMACv2's idea)
};

struct MapSpec {
  std::string name;
  int episode_limit = 0;
  std::vector<UnitGroup> allies,
      enemies;                        // in the order of unit ids; kRandom uses the counts of the first groups
  std::vector<UnitType> types;        // one-hot order of unit types; empty where there is no such feature
  std::vector<UnitType> enemy_types;  // the same for enemies' rows (SMAC reverses it on some maps)
  March enemy_march = March::kPoint, ally_march = March::kPoint;
  Point enemy_goal, ally_goal;  // for kPoint
  std::vector<std::string> terrain;
  Teams teams = Teams::kFixed;
  std::vector<UnitType> draw_types;  // kRandom: types and their weights
  std::vector<float> draw_weights;
  bool draw_needs_fighter = true;  // kRandom: no team of draw_weak_types alone
  std::vector<UnitType> draw_weak_types;
};

int unit_count(const std::vector<UnitGroup>& groups);

// Where units of these types stand when all of them appear at one point: each in turn takes the free place
// nearest to its point (ties: by angle, due west first), at its separation from the others and on ground it
// can stand on. Offsets are multiplied by `flip`, so that two equal teams face each other alike.
std::vector<Point> pack_spawns(const std::vector<UnitType>& types, const std::vector<Point>& at,
                               const Profile& profile, const Terrain& terrain, Point flip);

}  // namespace powqmix::skirmish
