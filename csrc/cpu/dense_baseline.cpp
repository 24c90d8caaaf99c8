// The dense kernels in four lanes, for any processor.
#include <algorithm>
#include <cmath>

#include "cpu/dense.h"
#include "powqmix/head.h"

namespace powqmix {
namespace baseline {

#include "cpu/lanes_baseline.inc"

constexpr int kTileRows = 4;

#include "cpu/dense.inc"
#include "cpu/ops.inc"

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
                                    select_q_backward,
                                    sum_of_squares,
                                    adam};

}  // namespace baseline
}  // namespace powqmix
