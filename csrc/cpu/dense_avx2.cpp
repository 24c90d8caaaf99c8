// The dense kernels in eight lanes, for AVX2 with FMA.
#include <cmath>

#include "cpu/dense.h"
#include "powqmix/head.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define POWQMIX_ISA __attribute__((target("avx2,fma")))

namespace powqmix {
namespace avx2 {

constexpr int kLanes = 8;
constexpr int kTileRows = 6;  // 6 rows of 2 vectors, 2 of b and 1 of a fill the 16 registers
typedef float Vec __attribute__((vector_size(32)));
typedef int32_t IntVec __attribute__((vector_size(32)));

POWQMIX_ISA static inline Vec splat(float value) { return (Vec)_mm256_set1_ps(value); }
POWQMIX_ISA static inline Vec smaller(Vec a, Vec b) { return (Vec)_mm256_min_ps(a, b); }
POWQMIX_ISA static inline Vec larger(Vec a, Vec b) { return (Vec)_mm256_max_ps(a, b); }
POWQMIX_ISA static inline Vec multiply_add(Vec a, Vec b, Vec c) { return (Vec)_mm256_fmadd_ps(a, b, c); }
POWQMIX_ISA static inline Vec square_root(Vec a) { return (Vec)_mm256_sqrt_ps(a); }
POWQMIX_ISA static inline float sum_lanes(Vec a) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}

POWQMIX_ISA static inline float max_lanes(Vec a) {
  const __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(pair, _mm_shuffle_ps(pair, pair, 1)));
}
POWQMIX_ISA static inline int32_t min_lanes(IntVec a) {
  const __m256i all = (__m256i)a;
  const __m128i half = _mm_min_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  const __m128i pair = _mm_min_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  return _mm_cvtsi128_si32(_mm_min_epi32(pair, _mm_shuffle_epi32(pair, 0xb1)));
}
POWQMIX_ISA static inline IntVec widen(const uint8_t* from) {
  return (IntVec)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}

#include "cpu/dense.inc"

const DenseKernels kDenseKernels = {"avx2",
                                    multiply,
                                    multiply_transposed,
                                    gru_gates,
                                    gru_gates_backward,
                                    monotonic_mix,
                                    monotonic_mix_backward,
                                    hyper_scales,
                                    hyper_scales_backward,
                                    select_q,
                                    sum_of_squares,
                                    adam};

}  // namespace avx2
}  // namespace powqmix

#else

const powqmix::DenseKernels powqmix::avx2::kDenseKernels = {};

#endif
