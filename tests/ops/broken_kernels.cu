// What emulated grids must find: kernels with faults, and the same without.
#include "cuda/device.h"

using namespace powqmix;

namespace {

// out[block]: the sum of 0 .. 63, by way of shared memory.
__global__ void sum_kernel(bool barrier, float* out) {
  float* const parts = cuda::dynamic_shared<float>();
  parts[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (barrier) __syncthreads();
  if (threadIdx.x > 0) return;
  float sum = 0.0f;
  for (unsigned i = 0; i < blockDim.x; ++i) sum += parts[blockDim.x - 1 - i];
  out[blockIdx.x] = sum;
}

__global__ void lane_leaves_kernel(int leaving, float* out) {
  if (static_cast<int>(threadIdx.x) == leaving) return;
  out[threadIdx.x] = __shfl_xor_sync(cuda::kAll, static_cast<float>(threadIdx.x), 1);
}

__global__ void beyond_kernel(int at) { cuda::dynamic_shared<uint8_t>()[at] = 1; }

__global__ void copy_kernel(const float* from, float* to) { cuda::store(to, cuda::load<4>(from)); }

// What `run` threw, if it did.
template <typename Run>
const char* told(const Run& run) {
  static std::string text;
  text.clear();
  try {
    run();
  } catch (const std::exception& error) {
    text = error.what();
  }
  return text.c_str();
}

}  // namespace

#define POWQMIX_TEST extern "C" __attribute__((visibility("default"))) const char*

POWQMIX_TEST sum(uint64_t order, int barrier, unsigned blocks, float* out) {
  emulation::set_order(order);
  return told([&] { cuda::launch("sum", sum_kernel, blocks, 64, 64 * sizeof(float), 0, barrier != 0, out); });
}
POWQMIX_TEST lane_leaves(int threads, int leaving, float* out) {
  return told([&] { cuda::launch("lane_leaves", lane_leaves_kernel, 1, threads, 0, 0, leaving, out); });
}
POWQMIX_TEST beyond(int bytes, int at) {
  return told([&] { cuda::launch("beyond", beyond_kernel, 1, 1, bytes, 0, at); });
}
POWQMIX_TEST launches(unsigned blocks, int threads, size_t shared_bytes) {
  return told([&] { cuda::launch("launches", beyond_kernel, blocks, threads, shared_bytes, 0, 0); });
}
POWQMIX_TEST copy(const float* from, float* to) {
  return told([&] { cuda::launch("copy", copy_kernel, 1, 1, 0, 0, from, to); });
}
