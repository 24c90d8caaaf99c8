// The GRU's tiles in sixteen lanes, for AVX-512.
#include "cpu/gru_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define POWQMIX_ISA __attribute__((target("avx512f,avx2,fma")))

namespace powqmix {
namespace avx512 {

namespace {

constexpr int kLanes = 16;
constexpr int kMicroRows = 12;  // 12 rows of 2 vectors, 2 of weights and 1 of inputs: 27 of 32 registers
constexpr int kTileRows = 24;
typedef float Vec __attribute__((vector_size(64)));
typedef int32_t IntVec __attribute__((vector_size(64)));

POWQMIX_ISA static inline Vec splat(float value) { return (Vec)_mm512_set1_ps(value); }
POWQMIX_ISA static inline Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
POWQMIX_ISA static inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }
POWQMIX_ISA static inline Vec multiply_add(Vec a, Vec b, Vec c) { return (Vec)_mm512_fmadd_ps(a, b, c); }

#include "cpu/gru_tiles.inc"

}  // namespace

const GruTileKernels kGruTileKernels = {"avx512", kWidth,         kTileRows,      forward,
                                        backward, forward_memory, backward_memory};

}  // namespace avx512
}  // namespace powqmix

#else

const powqmix::GruTileKernels powqmix::avx512::kGruTileKernels = {};

#endif
