// The instruction sets that kernels of the learner are compiled for, and the best that this processor has.
#pragma once

namespace powqmix {

enum class Isa { kBaseline, kAvx2, kAvx512, kAvx512Bf16 };

// POWQMIX_ISA=baseline, avx2, avx512 or avx512_bf16 allows no better one: for tests, and to tell a wrong
// kernel from a wrong formula. It is read once.
Isa best_isa();

}  // namespace powqmix
