// What a unit is: the ten unit types of the 23 maps and the numbers that a profile gives them.
//
// Times are in game loops (16 a second of "normal" time), speeds in map units a loop, damage in hit points.
// The numbers are data (powqmix/envs/data/skirmish_units_*.yaml); this file says only what each one means.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "powqmix/random.h"

namespace powqmix::skirmish {

constexpr int kLoopsPerSecond = 16;
constexpr int kLoopsPerStep = 8;
constexpr int kMaxUnits = 96;  // both sides together

enum UnitType : uint8_t {
  kMarine,
  kMarauder,
  kMedivac,
  kStalker,
  kZealot,
  kColossus,
  kZergling,
  kBaneling,
  kHydralisk,
  kSpineCrawler,
  kUnitTypes,
};

const char* unit_name(UnitType type);
// Throws std::invalid_argument naming the types there are.
UnitType unit_type(const std::string& name);

// How damage leaves the attacker.
enum class Weapon : uint8_t {
  kNone,
  kDirect,   // one target
  kLine,     // every enemy in a bar across the shot (colossus)
  kSuicide,  // the attacker dies and hurts every enemy in a circle, also when it is killed (baneling)
  kHeal,     // gives health to a friend (medivac)
};

struct UnitStats {
  float health = 0, shield = 0, armour = 0;
  float damage = 0, bonus = 0;  // bonus: against `bonus_light` or `bonus_armoured` targets
  float period = 0;             // loops from shot to shot
  float range = 0;              // edge to edge
  float slop = 1;               // how far beyond its range it goes on with an attack
  float speed = 0;              // map units a loop
  float radius = 0;             // for ranges
  float separation = 0;         // for collisions
  float damage_point = 0;       // loops from the start of an attack to its effect
  float hit_gap = 0;            // loops between the hits of one attack; 0: at once
  float splash_length = 0;      // kLine: length of the bar across the shot
  float splash_width = 0;       // kLine: its depth; kSuicide: radius of the circle
  float health_regen = 0;       // hit points a loop
  float max_cooldown = 15;      // loops: by what the state divides the cooldown
  float energy = 0, max_energy = 0, energy_regen = 0;  // a loop
  float heal = 0, energy_per_health = 0;               // hit points a loop; energy a hit point
  int hits = 1;
  Weapon weapon = Weapon::kNone;
  bool light = false, armoured = false, flies = false, hits_air = false;
  bool bonus_light = false, bonus_armoured = false, walks_cliffs = false;

  POWQMIX_HD bool armed() const { return damage > 0; }
  POWQMIX_HD bool can_hit(const UnitStats& target) const { return armed() && (hits_air || !target.flies); }
  POWQMIX_HD float damage_to(const UnitStats& target) const {
    return damage + ((bonus_light && target.light) || (bonus_armoured && target.armoured) ? bonus : 0.0f);
  }
};

using Profile = std::array<UnitStats, kUnitTypes>;

}  // namespace powqmix::skirmish
