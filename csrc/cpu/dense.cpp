// The dense kernels of this processor.
#include "cpu/dense.h"

#include "cpu/isa.h"

namespace powqmix {

const DenseKernels& dense_kernels() {
#if defined(__x86_64__)
  static const bool wide = best_isa() >= Isa::kAvx2;
  if (wide) return avx2::kDenseKernels;
#endif
  return baseline::kDenseKernels;
}

}  // namespace powqmix
