// A stored episode, the padded batch that it is decoded into, and how one is made of the other, for C++ and
// CUDA alike.
//
// A stored episode of `steps` steps is the arrays of powqmix.types.EpisodeSchema one after another, without
// gaps: obs [steps+1, N, O], state [steps+1, S], avail_actions [steps+1, N, ceil(A/8)] bits, actions [steps,
// N], reward [steps], terminated [steps]; little-endian.
#pragma once

#include <cstdint>
#include <cstring>

#include "powqmix/ops.h"

namespace powqmix {

struct ReplayLayout {
  int64_t n_agents = 0;
  int64_t n_actions = 0;
  int64_t obs_size = 0;
  int64_t state_size = 0;
  bool half_reals = true;     // obs and state are float16, else float32
  bool wide_actions = false;  // actions are u16, else u8

  POWQMIX_HD int64_t real_bytes() const { return half_reals ? 2 : 4; }
  POWQMIX_HD int64_t action_bytes() const { return wide_actions ? 2 : 1; }
  POWQMIX_HD int64_t mask_bytes() const { return (n_actions + 7) / 8; }  // of one agent at one step

  // Bytes of an episode of `steps` steps.
  POWQMIX_HD int64_t nbytes(int64_t steps) const {
    const int64_t seen = (n_agents * obs_size + state_size) * real_bytes() + n_agents * mask_bytes();
    const int64_t done = n_agents * action_bytes() + static_cast<int64_t>(sizeof(float)) + 1;
    return (steps + 1) * seen + steps * done;
  }
};

// Where the arrays of an episode begin; obs is at 0.
struct EpisodePlaces {
  int64_t state, avail_actions, actions, reward, terminated;
};
POWQMIX_HD EpisodePlaces places_of(const ReplayLayout& layout, int64_t steps) {
  const int64_t seen = steps + 1, agents = layout.n_agents;
  EpisodePlaces places;
  places.state = seen * agents * layout.obs_size * layout.real_bytes();
  places.avail_actions = places.state + seen * layout.state_size * layout.real_bytes();
  places.actions = places.avail_actions + seen * agents * layout.mask_bytes();
  places.reward = places.actions + steps * agents * layout.action_bytes();
  places.terminated = places.reward + steps * static_cast<int64_t>(sizeof(float));
  return places;
}

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

// -- One element -----------------------------------------------------------------------------

template <typename T>
POWQMIX_HD T load_anywhere(const uint8_t* from) {
  T value;
  memcpy(&value, from, sizeof(T));
  return value;
}
// At a multiple of T's size: one load on a GPU too, where bytes are loaded one by one from anywhere else.
template <typename T>
POWQMIX_HD T load_aligned(const uint8_t* from) {
#if defined(__CUDA_ARCH__) || defined(POWQMIX_CUDA_EMULATION)
  return *reinterpret_cast<const T*>(from);
#else
  return load_anywhere<T>(from);
#endif
}

// float16 -> float32, exact, subnormals, infinities and NaN included.
POWQMIX_HD float half_bits_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  uint32_t mantissa = half & 0x3ffu;
  uint32_t bits;
  if (exponent == 0x1f) {
    // A signalling NaN becomes quiet, as the conversion instruction makes it.
    bits = sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0u);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else if (mantissa == 0) {
    bits = sign;
  } else {
    uint32_t shift = 0;  // a subnormal half is a normal float: bring its leading bit to the hidden place
    while (!(mantissa & 0x400u)) {
      mantissa <<= 1;
      ++shift;
    }
    bits = sign | ((113 - shift) << 23) | ((mantissa & 0x3ffu) << 13);
  }
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// Whether `action` is legal by an agent's mask, lowest bit first: 1 or 0.
POWQMIX_HD uint8_t mask_bit(const uint8_t* mask, int action) {
  return (mask[action / 8] >> (action % 8)) & 1;
}

// -- A worker's part of an episode -------------------------------------------------------------

// One of `count` workers that decode a row together: it takes every count-th element of each array.
struct DecodeWorker {
  int index, count;
};

// A row's `total` elements: those before `valid` by `element(i)`, the others 0.
template <typename To, typename Element>
POWQMIX_HD void decode_array(DecodeWorker worker, To* to, int valid, int total, const Element& element) {
  int64_t i = worker.index;
  for (; i < valid; i += worker.count) to[i] = element(static_cast<int>(i));
  for (; i < total; i += worker.count) to[i] = To(0);
}

POWQMIX_HD void decode_reals(DecodeWorker worker, const ReplayLayout& layout, const uint8_t* from, float* to,
                             int valid, int total) {
  if (layout.half_reals) {
    decode_array(worker, to, valid, total,
                 [=](int i) { return half_bits_to_float(load_aligned<uint16_t>(from + 2ll * i)); });
  } else {
    decode_array(worker, to, valid, total, [=](int i) { return load_aligned<float>(from + 4ll * i); });
  }
}

// Writes a worker's elements of row `row` of `batch` from an episode of `steps` <= batch.steps steps, which
// begins at a multiple of 4. No array of a row may have 2^31 elements.
POWQMIX_HD void decode_part(DecodeWorker worker, const ReplayLayout& layout, const uint8_t* episode,
                            int64_t steps, const ReplayBatch& batch, int64_t row) {
  const EpisodePlaces places = places_of(layout, steps);
  const int agents = static_cast<int>(layout.n_agents), actions = static_cast<int>(layout.n_actions);
  const int seen = static_cast<int>(steps) + 1, all_seen = static_cast<int>(batch.steps) + 1;
  const int done = static_cast<int>(steps), all_done = static_cast<int>(batch.steps);

  const int obs_size = agents * static_cast<int>(layout.obs_size);
  decode_reals(worker, layout, episode, batch.obs + row * all_seen * obs_size, seen * obs_size,
               all_seen * obs_size);

  const int state_size = static_cast<int>(layout.state_size);
  decode_reals(worker, layout, episode + places.state, batch.state + row * all_seen * state_size,
               seen * state_size, all_seen * state_size);

  const uint8_t* masks = episode + places.avail_actions;
  const int mask_bytes = static_cast<int>(layout.mask_bytes()), legal = agents * actions;
  decode_array(worker, batch.avail_actions + row * all_seen * legal, seen * legal, all_seen * legal,
               [=](int i) {
                 const int of = i / actions;  // the agent and step
                 return mask_bit(masks + static_cast<int64_t>(of) * mask_bytes, i - of * actions);
               });

  const uint8_t* chosen = episode + places.actions;
  int64_t* taken = batch.actions + row * all_done * agents;
  if (layout.wide_actions) {
    decode_array(worker, taken, done * agents, all_done * agents,
                 [=](int i) { return static_cast<int64_t>(load_anywhere<uint16_t>(chosen + 2ll * i)); });
  } else {
    decode_array(worker, taken, done * agents, all_done * agents,
                 [=](int i) { return static_cast<int64_t>(chosen[i]); });
  }

  const uint8_t* reward = episode + places.reward;
  decode_array(worker, batch.reward + row * all_done, done, all_done,
               [=](int i) { return load_anywhere<float>(reward + 4ll * i); });

  const uint8_t* terminated = episode + places.terminated;
  decode_array(worker, batch.terminated + row * all_done, done, all_done,
               [=](int i) { return terminated[i]; });
  decode_array(worker, batch.filled + row * all_done, done, all_done, [](int) { return uint8_t{1}; });
}

// Decodes the episodes of steps[b] steps (i64 [rows]) that begin at offsets[b] (i64 [rows], multiples of 4)
// of `payload`.
namespace cuda {
void replay_decode(const ReplayLayout& layout, const uint8_t* payload, const int64_t* offsets,
                   const int64_t* steps, int64_t rows, const ReplayBatch& batch, Runner runner);
}

}  // namespace powqmix
