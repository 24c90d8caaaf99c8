// The choice of an instruction set.
#include "cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace powqmix {

namespace {

Isa of_processor() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512bf16");
  return bf16 ? Isa::kAvx512Bf16 : avx512 ? Isa::kAvx512 : avx2 ? Isa::kAvx2 : Isa::kBaseline;
#else
  return Isa::kBaseline;
#endif
}

Isa allowed() {
  const char* const wanted = std::getenv("POWQMIX_ISA");
  if (wanted == nullptr) return Isa::kAvx512Bf16;
  const char* const names[] = {"baseline", "avx2", "avx512"};
  for (int k = 0; k < 3; ++k) {
    if (std::strcmp(wanted, names[k]) == 0) return static_cast<Isa>(k);
  }
  return Isa::kAvx512Bf16;
}

}  // namespace

Isa best_isa() {
  static const Isa best = std::min(of_processor(), allowed());
  return best;
}

}  // namespace powqmix
