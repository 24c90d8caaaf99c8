// The dense kernels in four lanes, for any processor.
#include <algorithm>
#include <cmath>

#include "cpu/dense.h"
#include "powqmix/head.h"

#define POWQMIX_ISA

namespace powqmix {
namespace baseline {

constexpr int kLanes = 4;
constexpr int kTileRows = 4;
typedef float Vec __attribute__((vector_size(16)));
typedef int32_t IntVec __attribute__((vector_size(16)));

static inline Vec splat(float value) { return Vec{value, value, value, value}; }
static inline Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
static inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }
static inline Vec multiply_add(Vec a, Vec b, Vec c) { return a * b + c; }
static inline Vec square_root(Vec a) {
  return Vec{std::sqrt(a[0]), std::sqrt(a[1]), std::sqrt(a[2]), std::sqrt(a[3])};
}
static inline float sum_lanes(Vec a) { return (a[0] + a[2]) + (a[1] + a[3]); }
static inline float max_lanes(Vec a) { return std::fmax(std::fmax(a[0], a[2]), std::fmax(a[1], a[3])); }
static inline int32_t min_lanes(IntVec a) { return std::min(std::min(a[0], a[2]), std::min(a[1], a[3])); }
static inline IntVec widen(const uint8_t* from) { return IntVec{from[0], from[1], from[2], from[3]}; }

#include "cpu/dense.inc"

const DenseKernels kDenseKernels = {"baseline",
                                    multiply,
                                    multiply_transposed,
                                    gru_gates,
                                    gru_gates_backward,
                                    monotonic_mix,
                                    monotonic_mix_backward,
                                    hyper_scales,
                                    hyper_scales_backward,
                                    select_q,
                                    sum_of_squares,
                                    adam};

}  // namespace baseline
}  // namespace powqmix
