// Counter-based random numbers: a stream is a pure function of its key, so results depend on neither batch
// nor threads.
//
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define POWQMIX_HD __host__ __device__ inline
#else
#define POWQMIX_HD inline
#endif

namespace powqmix {

struct Philox4 {
  uint32_t word[4];
};

POWQMIX_HD Philox4 philox4x32(uint64_t key, uint64_t counter_high, uint64_t counter_low) {
  uint32_t c0 = static_cast<uint32_t>(counter_low), c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high), c3 = static_cast<uint32_t>(counter_high >> 32);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0;
    const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Mixes two words into a well-spread key (SplitMix64's finaliser).
POWQMIX_HD uint64_t mix_key(uint64_t a, uint64_t b) {
  uint64_t z = a + 0x9E3779B97F4A7C15ull * (b + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// The stream of one environment in one episode: keyed by (seed, env index, episode), nothing else.
class RandomStream {
 public:
  RandomStream() = default;
  RandomStream(uint64_t seed, uint64_t env_index, uint64_t episode)
      : key_(mix_key(seed, env_index)), episode_(episode) {}

  uint32_t next() {
    if (used_ == 4) {
      block_ = philox4x32(key_, episode_, counter_++);
      used_ = 0;
    }
    return block_.word[used_++];
  }
  // Uniform in [0, n), n >= 1, without bias (Lemire's rejection).
  uint32_t below(uint32_t n) {
    uint64_t product = static_cast<uint64_t>(next()) * n;
    if (static_cast<uint32_t>(product) < n) {
      const uint32_t threshold = (0u - n) % n;
      while (static_cast<uint32_t>(product) < threshold) product = static_cast<uint64_t>(next()) * n;
    }
    return static_cast<uint32_t>(product >> 32);
  }
  // Uniform in [0, 1), 24 bits.
  float uniform() { return static_cast<float>(next() >> 8) * (1.0f / 16777216.0f); }

  // How many words have been drawn, and going there: with the key, all that a stream's future depends on.
  uint64_t position() const { return 4 * counter_ + used_ - 4; }
  void seek(uint64_t position) {
    counter_ = position / 4;
    used_ = 4;
    for (uint64_t word = 0; word < position % 4; ++word) next();
  }

 private:
  uint64_t key_ = 0;
  uint64_t episode_ = 0;
  uint64_t counter_ = 0;
  Philox4 block_{};
  uint32_t used_ = 4;
};

}  // namespace powqmix
