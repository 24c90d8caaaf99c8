// What the CUDA kernels share: launches on the caller's stream, groups of lanes, packs of neighbouring
// elements.
//
// No kernel allocates, waits, or adds to memory that another thread adds to: all can be captured in a graph,
// and give the same bits every time.
#pragma once

#include <stdexcept>
#include <string>

#ifndef __CUDACC__
#include "emulation/cuda.h"
#endif
#include "powqmix/ops.h"

namespace powqmix {
namespace cuda {

constexpr int kWarp = 32;
constexpr int kBlock = 256;
constexpr unsigned kAll = 0xffffffffu;

// Queues `kernel` with these arguments on the caller's stream. Raises std::runtime_error naming `op`.
template <typename... Taken, typename... Given>
void launch(const char* op, void (*kernel)(Taken...), dim3 grid, int threads_of_block, size_t shared_bytes,
            [[maybe_unused]] Runner runner, Given... given) {
#ifdef __CUDACC__
  kernel<<<grid, threads_of_block, shared_bytes, reinterpret_cast<cudaStream_t>(runner)>>>(given...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("powqmix: ") + op + ": " + cudaGetErrorString(error));
  }
#else
  emulation::run(op, grid, threads_of_block, shared_bytes, [&] { kernel(given...); });
#endif
}

// The block's shared memory, whose size the launch says; at a multiple of 16.
template <typename T>
__device__ T* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ uint4 shared[];
  return reinterpret_cast<T*>(shared);
#else
  return static_cast<T*>(emulation::dynamic_shared());
#endif
}

inline unsigned blocks_for(int64_t count, int of_block) {
  return static_cast<unsigned>((count + of_block - 1) / of_block);
}

// The smallest group of lanes, a power of two, that covers `size` elements, at most a warp.
inline int lanes_for(int size) {
  int lanes = 1;
  while (lanes < size && lanes < kWarp) lanes *= 2;
  return lanes;
}

__device__ inline int64_t global_thread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

// Division of 64 bits takes many instructions; nearly all numbers here fit in 32.
__device__ inline int64_t quotient(int64_t a, int b) {
  return a >> 31 == 0 ? static_cast<uint32_t>(a) / static_cast<uint32_t>(b) : a / b;
}

// The sum over a group of `lanes` neighbouring lanes, in all of them, as a fixed tree.
__device__ inline float sum_lanes(float value, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAll, value, offset);
  return value;
}

// kSize neighbouring floats, moved by one instruction.
template <int kSize>
struct alignas(4 * kSize) Pack {
  float x[kSize];
};
template <int kSize>
__device__ Pack<kSize> load(const float* from) {
  return *reinterpret_cast<const Pack<kSize>*>(from);
}
template <int kSize>
__device__ void store(float* to, const Pack<kSize>& value) {
  *reinterpret_cast<Pack<kSize>*>(to) = value;
}

__host__ __device__ inline bool aligned(const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; }

}  // namespace cuda
}  // namespace powqmix
