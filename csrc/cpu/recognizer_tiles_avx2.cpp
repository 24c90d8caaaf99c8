// The recognizer's tiles in eight lanes, for AVX2 with FMA.
#include "cpu/recognizer_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace powqmix {
namespace avx2 {

namespace {

#include "cpu/lanes_avx2.inc"
#include "cpu/vector_math.inc"
#include "cpu/words_float32.inc"

constexpr int kMicroRows = 6;  // 6 rows of 2 vectors, 2 of weights and 1 of inputs fill 16 registers

#include "cpu/recognizer_tiles.inc"

}  // namespace

const RecognizerTileKernels kRecognizerTileKernels = {"avx2", kWidth, kTileRows, tile, tile_memory, pack};

}  // namespace avx2
}  // namespace powqmix

#else

const powqmix::RecognizerTileKernels powqmix::avx2::kRecognizerTileKernels = {};

#endif
