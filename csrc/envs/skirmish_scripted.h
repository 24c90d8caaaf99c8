// Scripted agents: fixed policies over SMAC's actions, against which a map's difficulty is calibrated.
#pragma once

#include "envs/skirmish_battle.h"

namespace powqmix::skirmish {

enum class Script : uint8_t {
  kRandom,   // any legal action
  kNearest,  // attacks the nearest enemy it may; else walks to the nearest one
  kWeakest,  // attacks the enemy with the least health and shield it may (focus fire); else walks to the
             // nearest one
};

// A legal action of agent u; a pure function of the battle. avail: [n_actions] of that agent.
int scripted_action(Script script, const Battle& battle, const Rules& rules, int u, const uint8_t* avail,
                    int n_actions);

}  // namespace powqmix::skirmish
