// Check: whether a battle that came from outside (a saved state, a staged scene) is one that the rules can
// play on.
#pragma once

#include "envs/skirmish_battle.h"

namespace powqmix::skirmish {

// Whether every field that the rules follow, divide by or loop over is one that a battle of this map could
// have. `like`: a battle of the same map, for the counts and the slots that no unit has.
bool is_plausible(const Battle& b, const Battle& like, const Rules& rules, int n_actions, int episode_limit);

}  // namespace powqmix::skirmish
