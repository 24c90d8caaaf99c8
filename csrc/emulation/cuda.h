// The words of CUDA that the kernels use, for a C++ compiler: a test on any machine runs their text.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "emulation/grid.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other, all on one thread of the CPU

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};

using powqmix::emulation::blockDim;
using powqmix::emulation::blockIdx;
using powqmix::emulation::dim3;
using powqmix::emulation::gridDim;
using powqmix::emulation::threadIdx;
using std::max;
using std::min;

inline void __syncthreads() { powqmix::emulation::wait_for_block(); }

namespace powqmix {
namespace emulation {

// `value` of the lane `source`, which may be this one.
template <typename T>
T from_lane(unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves at most eight bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  bits = exchange(mask, bits, source);
  memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace emulation
}  // namespace powqmix

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int with) {
  return powqmix::emulation::from_lane(mask, value, powqmix::emulation::lane() ^ with);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, int distance) {
  const int lane = powqmix::emulation::lane(), source = lane + distance;
  return powqmix::emulation::from_lane(mask, value, source < 32 ? source : lane);
}
