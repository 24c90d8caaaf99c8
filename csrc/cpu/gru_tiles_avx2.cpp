// The GRU's tiles in eight lanes, for AVX2 with FMA.
#include "cpu/gru_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace powqmix {
namespace avx2 {

namespace {

#include "cpu/lanes_avx2.inc"
#include "cpu/vector_math.inc"
#include "cpu/words_float32.inc"

constexpr int kMicroRows = 6;  // 6 rows of 2 vectors, 2 of weights and 1 of inputs fill the 16 registers
constexpr int kTileRows = 24;

#include "cpu/gru_tiles.inc"

}  // namespace

const GruTileKernels kGruTileKernels = {"avx2",   kWidth,         kTileRows,       kPerWord, forward,
                                        backward, forward_memory, backward_memory, pack};

}  // namespace avx2
}  // namespace powqmix

#else

const powqmix::GruTileKernels powqmix::avx2::kGruTileKernels = {};

#endif
