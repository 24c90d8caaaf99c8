// The GRU's tiles in four lanes, for any processor.
#include "cpu/gru_tiles.h"

#define POWQMIX_ISA

namespace powqmix {
namespace baseline {

namespace {

constexpr int kLanes = 4;
constexpr int kMicroRows = 6;
constexpr int kTileRows = 24;
typedef float Vec __attribute__((vector_size(16)));
typedef int32_t IntVec __attribute__((vector_size(16)));

static inline Vec splat(float value) { return Vec{value, value, value, value}; }
static inline Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
static inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }
static inline Vec multiply_add(Vec a, Vec b, Vec c) { return a * b + c; }

#include "cpu/gru_tiles.inc"

}  // namespace

const GruTileKernels kGruTileKernels = {"baseline", kWidth,         kTileRows,      forward,
                                        backward,   forward_memory, backward_memory};

}  // namespace baseline
}  // namespace powqmix
