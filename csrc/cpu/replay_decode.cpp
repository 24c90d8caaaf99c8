#include "cpu/replay_decode.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace powqmix {

namespace {

void half_to_float_portable(const uint8_t* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    to[i] = half_bits_to_float(load_anywhere<uint16_t>(from + 2 * i));
  }
}

#if defined(__x86_64__)
bool has_f16c() {
  static const bool has = __builtin_cpu_supports("avx") && __builtin_cpu_supports("f16c");
  return has;
}

// Streaming stores: a batch is far larger than the caches, and an ordinary store would first read the line it
// replaces.
__attribute__((target("avx,f16c"))) void half_to_float_f16c(const uint8_t* from, float* to, int64_t count) {
  int64_t i = 0;
  for (; i < count && (reinterpret_cast<uintptr_t>(to + i) & 31u) != 0; ++i) {
    half_to_float_portable(from + 2 * i, to + i, 1);
  }
  for (; i + 8 <= count; i += 8) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 2 * i));
    _mm256_stream_ps(to + i, _mm256_cvtph_ps(halves));
  }
  half_to_float_portable(from + 2 * i, to + i, count - i);
  _mm_sfence();  // streamed lines are visible before this thread says it is done
}
#endif

void reals_to_float(const ReplayLayout& layout, const uint8_t* from, float* to, int64_t count) {
  if (layout.half_reals) {
    half_to_float(from, to, count);
  } else {
    std::memcpy(to, from, count * sizeof(float));
  }
}

// kSpread[b] holds the 8 bits of b as 8 bytes, the lowest bit first.
struct SpreadTable {
  std::array<std::array<uint8_t, 8>, 256> bytes;
  SpreadTable() {
    for (int b = 0; b < 256; ++b) {
      for (int bit = 0; bit < 8; ++bit) bytes[b][bit] = (b >> bit) & 1;
    }
  }
};
const SpreadTable kSpread;

// bits [rows, ceil(actions/8)] -> bytes [rows, actions]. A row is written in groups of 8 that may run over
// into the row behind it, which is written next; the last rows, where that would leave the array, go bit by
// bit.
void spread_bits(const uint8_t* from, uint8_t* to, int64_t rows, int64_t actions) {
  const int64_t groups = (actions + 7) / 8;
  int64_t row = 0;
  for (; row * actions + 8 * groups <= rows * actions; ++row) {
    for (int64_t g = 0; g < groups; ++g) {
      std::memcpy(to + row * actions + 8 * g, kSpread.bytes[from[row * groups + g]].data(), 8);
    }
  }
  for (; row < rows; ++row) {
    for (int64_t a = 0; a < actions; ++a) {
      to[row * actions + a] = mask_bit(from + row * groups, static_cast<int>(a));
    }
  }
}

template <typename Narrow>
void widen(const uint8_t* from, int64_t* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    to[i] = load_anywhere<Narrow>(from + i * sizeof(Narrow));
  }
}

template <typename T>
void clear(T* from, int64_t count) {
  std::memset(from, 0, count * sizeof(T));
}

}  // namespace

void half_to_float(const uint8_t* from, float* to, int64_t count, bool portable) {
#if defined(__x86_64__)
  if (!portable && has_f16c()) return half_to_float_f16c(from, to, count);
#endif
  (void)portable;
  half_to_float_portable(from, to, count);
}

void decode_episode(const ReplayLayout& layout, const uint8_t* episode, int64_t steps,
                    const ReplayBatch& batch, int64_t row) {
  const EpisodePlaces begin = places_of(layout, steps);
  const int64_t seen = steps + 1, places = batch.steps + 1;
  const int64_t agents = layout.n_agents, actions = layout.n_actions;

  const int64_t obs_size = agents * layout.obs_size;
  float* obs = batch.obs + row * places * obs_size;
  reals_to_float(layout, episode, obs, seen * obs_size);
  clear(obs + seen * obs_size, (places - seen) * obs_size);

  float* state = batch.state + row * places * layout.state_size;
  reals_to_float(layout, episode + begin.state, state, seen * layout.state_size);
  clear(state + seen * layout.state_size, (places - seen) * layout.state_size);

  uint8_t* avail = batch.avail_actions + row * places * agents * actions;
  spread_bits(episode + begin.avail_actions, avail, seen * agents, actions);
  clear(avail + seen * agents * actions, (places - seen) * agents * actions);

  const int64_t padding = batch.steps - steps;
  int64_t* chosen = batch.actions + row * batch.steps * agents;
  if (layout.wide_actions) {
    widen<uint16_t>(episode + begin.actions, chosen, steps * agents);
  } else {
    widen<uint8_t>(episode + begin.actions, chosen, steps * agents);
  }
  clear(chosen + steps * agents, padding * agents);

  float* reward = batch.reward + row * batch.steps;
  std::memcpy(reward, episode + begin.reward, steps * sizeof(float));
  clear(reward + steps, padding);

  uint8_t* terminated = batch.terminated + row * batch.steps;
  std::memcpy(terminated, episode + begin.terminated, steps);
  clear(terminated + steps, padding);

  uint8_t* filled = batch.filled + row * batch.steps;
  std::memset(filled, 1, steps);
  clear(filled + steps, padding);
}

}  // namespace powqmix
