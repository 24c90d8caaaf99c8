// The policy kernels in four lanes, for any processor.
#include <cmath>
#include <cstring>

#include "actor/policy_kernels.h"

namespace powqmix {
namespace baseline {

#include "cpu/lanes_baseline.inc"

constexpr int kTileRows = 4;

static uint16_t half_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u)
    return static_cast<uint16_t>(sign | 0x7E00u | (magnitude >> 13 & 0x1FFu));  // NaN
  if (magnitude >= 0x477FF000u)
    return static_cast<uint16_t>(sign | 0x7C00u);  // 65520 and above round to infinity
  if (magnitude >= 0x38800000u) {                  // normal: at least 2^-14
    const uint32_t rounded = magnitude + 0xFFFu + (magnitude >> 13 & 1u);
    return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
  }
  if (magnitude <= 0x33000000u) return static_cast<uint16_t>(sign);  // at most 2^-25 rounds to zero
  const uint32_t shift = 126u - (magnitude >> 23);                   // subnormal: units of 2^-24
  const uint32_t fraction = (magnitude & 0x7FFFFFu) | 0x800000u;
  const uint32_t kept = fraction >> shift, rest = fraction & ((1u << shift) - 1u),
                 middle = 1u << (shift - 1u);
  return static_cast<uint16_t>(sign | (kept + (rest > middle || (rest == middle && (kept & 1u)) ? 1u : 0u)));
}

static void to_half(const float* from, uint16_t* to, size_t count) {
  for (size_t i = 0; i < count; ++i) to[i] = half_of(from[i]);
}

#include "actor/policy_kernels.inc"

const PolicyKernels kPolicyKernels = {"baseline", kLanes, forward, to_half};

}  // namespace baseline
}  // namespace powqmix
