// The recognizer's tiles in four lanes, for any processor.
#include <cmath>

#include "cpu/recognizer_tiles.h"

namespace powqmix {
namespace baseline {

namespace {

#include "cpu/lanes_baseline.inc"
#include "cpu/recognizer_tiles.inc"

}  // namespace

const RecognizerTileKernels kRecognizerTileKernels = {"baseline", kWidth, kTileRows, tile, tile_memory};

}  // namespace baseline
}  // namespace powqmix
