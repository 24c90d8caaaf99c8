// The dense kernels in eight lanes, for AVX2 with FMA.
#include <algorithm>
#include <cmath>

#include "cpu/dense.h"
#include "powqmix/head.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace powqmix {
namespace avx2 {

#include "cpu/lanes_avx2.inc"

constexpr int kTileRows = 6;  // 6 rows of 2 vectors, 2 of b and 1 of a fill the 16 registers

#include "cpu/dense.inc"
#include "cpu/ops.inc"

const DenseKernels kDenseKernels = {"avx2",
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

}  // namespace avx2
}  // namespace powqmix

#else

const powqmix::DenseKernels powqmix::avx2::kDenseKernels = {};

#endif
