// The dense kernels in eight lanes, for AVX2 with FMA.
#include <cmath>

#include "cpu/dense.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define POWQMIX_ISA __attribute__((target("avx2,fma")))

namespace powqmix {
namespace avx2 {

constexpr int kLanes = 8;
constexpr int kTileRows = 6;  // 6 rows of 2 vectors, 2 of b and 1 of a fill the 16 registers
typedef float Vec __attribute__((vector_size(32)));

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

#include "cpu/dense.inc"

const DenseKernels kDenseKernels = {
    "avx2", multiply, multiply_transposed, gru_gates, gru_gates_backward, sum_of_squares, adam};

}  // namespace avx2
}  // namespace powqmix

#else

const powqmix::DenseKernels powqmix::avx2::kDenseKernels = {};

#endif
