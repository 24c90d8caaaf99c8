// The GRU's tiles in four lanes, for any processor.
#include <cmath>

#include "cpu/gru_tiles.h"

namespace powqmix {
namespace baseline {

namespace {

#include "cpu/lanes_baseline.inc"
#include "cpu/vector_math.inc"
#include "cpu/words_float32.inc"

constexpr int kMicroRows = 6;
constexpr int kTileRows = 24;

#include "cpu/gru_tiles.inc"

}  // namespace

const GruTileKernels kGruTileKernels = {"baseline", kWidth,         kTileRows,       kPerWord, forward,
                                        backward,   forward_memory, backward_memory, pack};

}  // namespace baseline
}  // namespace powqmix
