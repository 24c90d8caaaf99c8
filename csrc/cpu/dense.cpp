// The choice of an instruction set.
#include "cpu/dense.h"

namespace powqmix {

const DenseKernels& dense_kernels() {
#if defined(__x86_64__)
  static const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (wide) return avx2::kDenseKernels;
#endif
  return baseline::kDenseKernels;
}

}  // namespace powqmix
