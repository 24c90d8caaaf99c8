// The recognizer's tiles in four lanes, for any processor.
#include <cmath>

#include "cpu/recognizer_tiles.h"

namespace powqmix {
namespace baseline {

namespace {

#include "cpu/lanes_baseline.inc"
#include "cpu/vector_math.inc"
#include "cpu/words_float32.inc"

constexpr int kMicroRows = 6;  // 6 rows of 2 vectors, 2 of weights and 1 of inputs fill 16 registers

#include "cpu/recognizer_tiles.inc"

}  // namespace

const RecognizerTileKernels kRecognizerTileKernels = {"baseline", kWidth, kTileRows, tile, tile_memory, pack};

}  // namespace baseline
}  // namespace powqmix
