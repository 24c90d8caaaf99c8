// A uniformly random policy over legal actions, native so that a benchmark measures the environment.
#pragma once

#include <cstdint>

#include "envs/batched_env.h"

namespace powqmix {

// Fills actions [E, N] with one legal action each. A pure function of (seed, env index, step) and of what is
// legal; call it with step = 0, 1, 2, ... Throws std::invalid_argument where nothing is legal.
void random_actions(const BatchedEnv& env, uint64_t seed, uint64_t step, int32_t* actions);

}  // namespace powqmix
