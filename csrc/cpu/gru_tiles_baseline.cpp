// The GRU's tiles in four lanes, for any processor.
#include <cmath>

#include "cpu/gru_tiles.h"

namespace powqmix {
namespace baseline {

namespace {

#include "cpu/lanes_baseline.inc"

constexpr int kMicroRows = 6;
constexpr int kTileRows = 24;

#include "cpu/gru_tiles.inc"

}  // namespace

const GruTileKernels kGruTileKernels = {"baseline", kWidth,         kTileRows,      forward,
                                        backward,   forward_memory, backward_memory};

}  // namespace baseline
}  // namespace powqmix
