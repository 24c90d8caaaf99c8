// Decoding stored episodes into a padded float32 batch on the CPU: float16 -> float32, bits -> bytes, bytes
// -> int64. powqmix/replay.h says how both are laid out, and has the formulas.
#pragma once

#include <cstdint>

#include "powqmix/replay.h"

namespace powqmix {

// Writes row `row` of `batch` from an episode of `steps` <= batch.steps steps, at any address.
void decode_episode(const ReplayLayout& layout, const uint8_t* episode, int64_t steps,
                    const ReplayBatch& batch, int64_t row);

// `count` float16 at `from` (any alignment) as float32: exact, subnormals, infinities and NaN included.
// `portable` leaves the machine's conversion instructions aside; both ways give the same numbers.
void half_to_float(const uint8_t* from, float* to, int64_t count, bool portable = false);

}  // namespace powqmix
