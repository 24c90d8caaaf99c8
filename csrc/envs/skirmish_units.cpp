#include "envs/skirmish_units.h"

#include <stdexcept>

namespace powqmix::skirmish {

namespace {

constexpr const char* kNames[kUnitTypes] = {"marine",   "marauder", "medivac",  "stalker",   "zealot",
                                            "colossus", "zergling", "baneling", "hydralisk", "spine_crawler"};

}  // namespace

const char* unit_name(UnitType type) { return kNames[type]; }

UnitType unit_type(const std::string& name) {
  std::string known;
  for (int type = 0; type < kUnitTypes; ++type) {
    if (name == kNames[type]) return static_cast<UnitType>(type);
    known += std::string(known.empty() ? "" : ", ") + kNames[type];
  }
  throw std::invalid_argument("unit type '" + name + "' does not exist; there are: " + known);
}

}  // namespace powqmix::skirmish
