// Lanes: eight units looked at together, and the list of those that a test holds for, without a branch.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace powqmix::skirmish {

constexpr int kLanes = 8;
typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Truths __attribute__((vector_size(4 * kLanes)));  // -1 or 0 a lane, as comparisons give

inline void load(const float* from, Floats& lanes) { std::memcpy(&lanes, from, sizeof(lanes)); }
inline void load(const int32_t* from, Truths& lanes) { std::memcpy(&lanes, from, sizeof(lanes)); }

// Bit k: whether lane k is true.
inline uint32_t bits_of(const Truths& truths) {
#ifdef __SSE2__
  __m128i half[2];
  std::memcpy(half, &truths, sizeof(half));
  const __m128i words = _mm_packs_epi32(half[0], half[1]);
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(words, words))) & 0xff;
#else
  uint32_t bits = 0;
  for (int k = 0; k < kLanes; ++k) bits |= static_cast<uint32_t>(truths[k] & 1) << k;
  return bits;
#endif
}

// For every set of eight: its members in ascending order, and how many they are.
struct Members {
  uint8_t index[1 << kLanes][kLanes] = {};
  uint8_t count[1 << kLanes] = {};
  constexpr Members() {
    for (int bits = 0; bits < 1 << kLanes; ++bits) {
      for (int k = 0; k < kLanes; ++k) {
        if (bits >> k & 1) index[bits][count[bits]++] = static_cast<uint8_t>(k);
      }
    }
  }
};
inline constexpr Members kMembers;

// Writes `from` + the members of `bits` to `list` (kLanes bytes are written) and returns how many they are.
inline int list_members(uint32_t bits, int from, uint8_t* list) {
  uint64_t bytes;
  std::memcpy(&bytes, kMembers.index[bits], sizeof(bytes));
  bytes += 0x0101010101010101ull * static_cast<uint64_t>(from);
  std::memcpy(list, &bytes, sizeof(bytes));
  return kMembers.count[bits];
}

}  // namespace powqmix::skirmish
