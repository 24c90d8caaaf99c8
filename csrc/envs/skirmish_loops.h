// Loops: the game loops of one step.
#pragma once

#include "envs/skirmish_battle.h"

namespace powqmix::skirmish {

// Plays the kLoopsPerStep loops of a step, in the order of docs/skirmish.md: timers, orders, movement,
// separation, attacks, deaths.
void play_loops(Battle& b, const Rules& rules);

}  // namespace powqmix::skirmish
