// The recognizer's tiles in sixteen lanes, for AVX-512.
#include "cpu/recognizer_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace powqmix {
namespace avx512 {

namespace {

#include "cpu/lanes_avx512.inc"
#include "cpu/vector_math.inc"
#include "cpu/words_float32.inc"

constexpr int kMicroRows = 12;  // 12 rows of 2 vectors, 2 of weights and 1 of inputs: 27 of 32 registers

#include "cpu/recognizer_tiles.inc"

}  // namespace

const RecognizerTileKernels kRecognizerTileKernels = {"avx512", kWidth, kTileRows, tile, tile_memory, pack};

}  // namespace avx512
}  // namespace powqmix

#else

const powqmix::RecognizerTileKernels powqmix::avx512::kRecognizerTileKernels = {};

#endif
