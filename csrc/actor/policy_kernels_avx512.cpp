// The policy kernels in sixteen lanes, for AVX-512.
#include "actor/policy_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace powqmix {
namespace avx512 {

#include "cpu/lanes_avx512.inc"

constexpr int kTileRows = 8;  // 8 rows of 3 gates and 3 weights stay within the 32 registers

POWQMIX_ISA static void to_half(const float* from, uint16_t* to, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  }
  for (; i < count; ++i) {
    to[i] = static_cast<uint16_t>(
        _mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(from[i]), _MM_FROUND_TO_NEAREST_INT)));
  }
}

#include "actor/policy_kernels.inc"

const PolicyKernels kPolicyKernels = {"avx512", kLanes, forward, to_half};

}  // namespace avx512
}  // namespace powqmix

#else

const powqmix::PolicyKernels powqmix::avx512::kPolicyKernels = {"avx512", 16, nullptr, nullptr};

#endif
