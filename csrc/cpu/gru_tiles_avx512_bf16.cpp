// The GRU's tiles in sixteen lanes of pairs, for AVX-512 with its bfloat16 products.
#include "cpu/gru_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace powqmix {
namespace avx512_bf16 {

namespace {

#define POWQMIX_ISA __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma,f16c")))
#include "cpu/lanes_avx512.inc"
#include "cpu/vector_math.inc"
#include "cpu/words_bfloat16.inc"

constexpr int kMicroRows = 12;  // 12 rows of 2 vectors, 2 of weights and 1 of inputs: 27 of 32 registers
constexpr int kTileRows = 24;

#include "cpu/gru_tiles.inc"

}  // namespace

const GruTileKernels kGruTileKernels = {"avx512_bf16", kWidth,         kTileRows,       kPerWord, forward,
                                        backward,      forward_memory, backward_memory, pack};

}  // namespace avx512_bf16
}  // namespace powqmix

#else

const powqmix::GruTileKernels powqmix::avx512_bf16::kGruTileKernels = {};

#endif
