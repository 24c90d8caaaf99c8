// The GRU's tiles in eight lanes, for AVX2 with FMA.
#include "cpu/gru_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define POWQMIX_ISA __attribute__((target("avx2,fma")))

namespace powqmix {
namespace avx2 {

namespace {

constexpr int kLanes = 8;
constexpr int kMicroRows = 6;  // 6 rows of 2 vectors, 2 of weights and 1 of inputs fill the 16 registers
constexpr int kTileRows = 24;
typedef float Vec __attribute__((vector_size(32)));
typedef int32_t IntVec __attribute__((vector_size(32)));

POWQMIX_ISA static inline Vec splat(float value) { return (Vec)_mm256_set1_ps(value); }
POWQMIX_ISA static inline Vec smaller(Vec a, Vec b) { return (Vec)_mm256_min_ps(a, b); }
POWQMIX_ISA static inline Vec larger(Vec a, Vec b) { return (Vec)_mm256_max_ps(a, b); }
POWQMIX_ISA static inline Vec multiply_add(Vec a, Vec b, Vec c) { return (Vec)_mm256_fmadd_ps(a, b, c); }

#include "cpu/gru_tiles.inc"

}  // namespace

const GruTileKernels kGruTileKernels = {"avx2",   kWidth,         kTileRows,      forward,
                                        backward, forward_memory, backward_memory};

}  // namespace avx2
}  // namespace powqmix

#else

const powqmix::GruTileKernels powqmix::avx2::kGruTileKernels = {};

#endif
