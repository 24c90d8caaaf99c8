// The choice of an instruction set.
#include "cpu/dense.h"

#include <cstdlib>
#include <cstring>

namespace powqmix {

const DenseKernels& dense_kernels() {
#if defined(__x86_64__)
  // POWQMIX_ISA=baseline leaves the vectors unused: for tests, and to tell a wrong kernel from a wrong
  // formula.
  static const char* const wanted = std::getenv("POWQMIX_ISA");
  static const bool wide = (wanted == nullptr || std::strcmp(wanted, "baseline") != 0) &&
                           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (wide) return avx2::kDenseKernels;
#endif
  return baseline::kDenseKernels;
}

}  // namespace powqmix
