// What an episode's bytes must be before anyone reads them as numbers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "actor/episode_buffer.h"

namespace powqmix {

struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

// Whether no float of `bytes`, 2 or 4 bytes each, has all bits of its exponent set.
bool all_finite(Bytes bytes, int real_bytes);

// Why the fields of an episode must be refused, "" if they are sound; their sizes are those of its steps.
//   "not finite"  an observation, state or reward      "action"  one that there is not
//   "end"         `terminated` anywhere but at the last step, or not there as the header says
const char* content_fault(const Bytes (&fields)[kFieldCount], int real_bytes, int index_bytes, int n_actions,
                          bool terminated);

}  // namespace powqmix
