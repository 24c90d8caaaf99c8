#include "wire/checksum.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace powqmix {

namespace {

constexpr uint32_t kPolynomial = 0xEDB88320u;  // of zlib and Ethernet, lowest bit first

// tables[k][b]: what byte b gives to the remainder when k further bytes follow it.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t rest = byte;
    for (int bit = 0; bit < 8; ++bit) rest = rest >> 1 ^ (rest & 1 ? kPolynomial : 0);
    tables[0][byte] = rest;
  }
  for (int k = 1; k < 8; ++k) {
    for (int byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = before >> 8 ^ tables[0][before & 255];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

// The remainder of `rest` followed by the bytes; zlib's checksum is its complement at both ends.
uint32_t divide(uint32_t rest, const uint8_t* data, size_t size) {
  for (; size >= 8; data += 8, size -= 8) {
    uint32_t next = 0;
    for (int i = 0; i < 4; ++i) next ^= kTables[7 - i][data[i] ^ (rest >> 8 * i & 255)];
    for (int i = 4; i < 8; ++i) next ^= kTables[7 - i][data[i]];
    rest = next;
  }
  for (; size > 0; ++data, --size) rest = rest >> 8 ^ kTables[0][(rest ^ *data) & 255];
  return rest;
}

#if defined(__x86_64__)

#define POWQMIX_CLMUL __attribute__((target("pclmul,sse4.1")))

POWQMIX_CLMUL inline __m128i load(const uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

// x, moved past as many bits as the two powers in `by` stand for, plus what stands there.
POWQMIX_CLMUL inline __m128i fold(__m128i x, __m128i by, __m128i there) {
  const __m128i low = _mm_clmulepi64_si128(x, by, 0x00), high = _mm_clmulepi64_si128(x, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), there);
}

// Blocks of 16 bytes are folded onto later ones, which changes no remainder, until one of them is left. At
// least 64 bytes. (Gopal et al., Fast CRC computation using PCLMULQDQ, 2009.)
POWQMIX_CLMUL uint32_t divide_by_folding(uint32_t rest, const uint8_t* data, size_t size) {
  // x^n mod the polynomial, bits reversed: n = 512 + 32 and 512 - 32; 128 + 32 and 128 - 32.
  const __m128i by_four = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
  const __m128i by_one = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
  __m128i a = _mm_xor_si128(load(data), _mm_cvtsi32_si128(static_cast<int>(rest)));
  __m128i b = load(data + 16), c = load(data + 32), d = load(data + 48);
  for (data += 64, size -= 64; size >= 64; data += 64, size -= 64) {
    a = fold(a, by_four, load(data));
    b = fold(b, by_four, load(data + 16));
    c = fold(c, by_four, load(data + 32));
    d = fold(d, by_four, load(data + 48));
  }
  a = fold(fold(fold(a, by_one, b), by_one, c), by_one, d);
  for (; size >= 16; data += 16, size -= 16) a = fold(a, by_one, load(data));
  alignas(16) uint8_t left[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(left), a);
  return divide(divide(0, left, 16), data, size);
}

#endif

}  // namespace

uint32_t crc32_portable(uint32_t crc, const uint8_t* data, size_t size) { return ~divide(~crc, data, size); }

uint32_t crc32(uint32_t crc, const uint8_t* data, size_t size) {
#if defined(__x86_64__)
  static const bool folds = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  if (folds && size >= 64) return ~divide_by_folding(~crc, data, size);
#endif
  return crc32_portable(crc, data, size);
}

}  // namespace powqmix
