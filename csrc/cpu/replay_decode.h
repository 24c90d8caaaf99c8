// Decoding stored episodes into a padded float32 batch: float16 -> float32, bits -> bytes, bytes -> int64.
//
// A stored episode of `steps` steps is the arrays of powqmix.types.EpisodeSchema one after another, without
// gaps: obs [steps+1, N, O], state [steps+1, S], avail_actions [steps+1, N, ceil(A/8)] bits, actions [steps,
// N], reward [steps], terminated [steps]; little-endian, at any address.
#pragma once

#include <cstdint>

namespace powqmix {

struct ReplayLayout {
  int64_t n_agents = 0;
  int64_t n_actions = 0;
  int64_t obs_size = 0;
  int64_t state_size = 0;
  bool half_reals = true;     // obs and state are float16, else float32
  bool wide_actions = false;  // actions are u16, else u8

  // Bytes of an episode of `steps` steps.
  int64_t nbytes(int64_t steps) const;
};

// A batch of B rows padded to `steps` = T. Every element of a decoded row is written, padding as zero.
struct ReplayBatch {
  int64_t steps = 0;
  float* obs = nullptr;              // [B, T+1, N, O]
  float* state = nullptr;            // [B, T+1, S]
  uint8_t* avail_actions = nullptr;  // [B, T+1, N, A]
  int64_t* actions = nullptr;        // [B, T, N]
  float* reward = nullptr;           // [B, T]
  uint8_t* terminated = nullptr;     // [B, T]
  uint8_t* filled = nullptr;         // [B, T]
};

// Writes row `row` of `batch` from an episode of `steps` <= batch.steps steps.
void decode_episode(const ReplayLayout& layout, const uint8_t* episode, int64_t steps,
                    const ReplayBatch& batch, int64_t row);

// `count` float16 at `from` (any alignment) as float32: exact, subnormals, infinities and NaN included.
// `portable` leaves the machine's conversion instructions aside; both ways give the same numbers.
void half_to_float(const uint8_t* from, float* to, int64_t count, bool portable = false);

}  // namespace powqmix
