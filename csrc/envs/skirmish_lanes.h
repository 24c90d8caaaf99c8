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

// n, rounded up to whole lanes.
constexpr int whole_lanes(int n) { return (n + kLanes - 1) & -kLanes; }

inline void load(const float* from, Floats& lanes) { std::memcpy(&lanes, from, sizeof(lanes)); }
inline void load(const int32_t* from, Truths& lanes) { std::memcpy(&lanes, from, sizeof(lanes)); }

inline void load(const uint8_t* from, Truths& lanes) {
  typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof(bytes));
  lanes = __builtin_convertvector(bytes, Truths);
}
inline void load(const int16_t* from, Truths& lanes) {
  typedef int16_t Shorts __attribute__((vector_size(2 * kLanes)));
  Shorts shorts;
  std::memcpy(&shorts, from, sizeof(shorts));
  lanes = __builtin_convertvector(shorts, Truths);
}

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

// Bit k: whether begin <= first + k < end.
inline uint32_t bits_between(int first, int begin, int end) {
  const uint32_t below_end = end - first < kLanes ? (1u << (end - first)) - 1 : 0xff;
  return begin > first ? below_end & (0xffu << (begin - first)) : below_end;
}

// Calls f(k) for every bit k that is set, from the lowest.
template <typename F>
inline void for_each_bit(uint32_t bits, const F& f) {
  for (; bits != 0; bits &= bits - 1) f(__builtin_ctz(bits));
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
