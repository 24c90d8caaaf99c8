// select_q on CUDA. A block takes kRows rows: they are one piece of memory, moved in packs of 16 bytes
// between global and shared memory, and there each thread has a row of its own. Rows of many actions have a
// warp each.
#include "cuda/device.h"

namespace powqmix {
namespace cuda {

namespace {

constexpr int kRows = 128;  // of a block, and its threads; a multiple of 16, so that blocks begin at packs
constexpr int kTileActions = 64;  // up to here kRows rows with their masks fit in 48 KiB

// Between shared memory at `tile` and global memory, by all threads of a block; count elements.
template <typename T>
__device__ void copy(T* __restrict__ to, const T* __restrict__ from, int count) {
  constexpr int kPack = 16 / sizeof(T);
  const bool packed =
      (reinterpret_cast<uintptr_t>(to) % 16 == 0) && (reinterpret_cast<uintptr_t>(from) % 16 == 0);
  const int packs = packed ? count / kPack : 0;
  for (int i = threadIdx.x; i < packs; i += kRows) {
    reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
  }
  for (int i = packs * kPack + threadIdx.x; i < count; i += kRows) to[i] = from[i];
}

__device__ int rows_here(int64_t rows) {
  const int64_t left = rows - static_cast<int64_t>(blockIdx.x) * kRows;
  return left < kRows ? static_cast<int>(left) : kRows;
}

__device__ void put_choice(int64_t row, const float* q, int taken, float value, int found, float* q_taken,
                           float* q_max, int64_t* greedy, int32_t* choices) {
  q_taken[row] = q[taken];
  q_max[row] = found < 0 ? 0.0f : value;
  greedy[row] = found < 0 ? 0 : found;
  choices[row] = packed({taken, found});
}

__global__ void select_tile_kernel(int64_t rows, int n_actions, const float* __restrict__ agent_q,
                                   const uint8_t* __restrict__ avail, const int64_t* __restrict__ actions,
                                   float* __restrict__ q_taken, float* __restrict__ q_max,
                                   int64_t* __restrict__ greedy, int32_t* __restrict__ choices) {
  float* const q_tile = dynamic_shared<float>();
  uint8_t* const avail_tile = reinterpret_cast<uint8_t*>(q_tile + kRows * n_actions);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kRows;
  const int count = rows_here(rows);
  copy(q_tile, agent_q + first * n_actions, count * n_actions);
  copy(avail_tile, avail + first * n_actions, count * n_actions);
  __syncthreads();
  const int i = threadIdx.x;
  if (i >= count) return;
  const float* q = q_tile + i * n_actions;
  const int found = static_cast<int>(best_legal(q, avail_tile + i * n_actions, n_actions));
  put_choice(first + i, q, static_cast<int>(actions[first + i]), found < 0 ? 0.0f : q[found], found, q_taken,
             q_max, greedy, choices);
}

__global__ void select_tile_backward_kernel(int64_t rows, int n_actions, const int32_t* __restrict__ choices,
                                            const float* __restrict__ d_taken,
                                            const float* __restrict__ d_max, float* __restrict__ d_agent_q) {
  float* const tile = dynamic_shared<float>();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kRows;
  const int count = rows_here(rows), i = threadIdx.x;
  for (int k = i; k < count * n_actions; k += kRows) tile[k] = 0.0f;
  __syncthreads();
  if (i < count) {
    float* d = tile + i * n_actions;
    const Choice choice = unpacked(choices[first + i]);
    if (d_taken != nullptr) d[choice.taken] = d_taken[first + i];
    if (d_max != nullptr && choice.best >= 0) d[choice.best] += d_max[first + i];
  }
  __syncthreads();
  copy(d_agent_q + first * n_actions, tile, count * n_actions);
}

// Whether `other` at index j comes before `value` at index i: higher, a number before NaN, then the lower
// index.
__device__ bool precedes(float other, int j, float value, int i) {
  if (j < 0 || i < 0) return i < 0 && j >= 0;
  if (other != other || value != value) {
    return other == other || (value != value && j < i);
  }
  return other > value || (other == value && j < i);
}

__global__ void select_wide_kernel(int64_t rows, int n_actions, const float* __restrict__ agent_q,
                                   const uint8_t* __restrict__ avail, const int64_t* __restrict__ actions,
                                   float* __restrict__ q_taken, float* __restrict__ q_max,
                                   int64_t* __restrict__ greedy, int32_t* __restrict__ choices) {
  const int64_t row = global_thread() / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (row >= rows) return;  // whole warps leave
  const float* q = agent_q + row * n_actions;
  const uint8_t* legal = avail + row * n_actions;
  int found = -1;
  float value = 0.0f;
  for (int a = lane; a < n_actions; a += kWarp) {
    if (legal[a] && precedes(q[a], a, value, found)) {
      found = a;
      value = q[a];
    }
  }
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(kAll, value, offset);
    const int other_found = __shfl_xor_sync(kAll, found, offset);
    if (precedes(other, other_found, value, found)) {
      found = other_found;
      value = other;
    }
  }
  if (lane == 0) {
    put_choice(row, q, static_cast<int>(actions[row]), value, found, q_taken, q_max, greedy, choices);
  }
}

__global__ void select_wide_backward_kernel(int64_t rows, int n_actions, const int32_t* __restrict__ choices,
                                            const float* __restrict__ d_taken,
                                            const float* __restrict__ d_max, float* __restrict__ d_agent_q) {
  const int64_t row = global_thread() / kWarp;
  if (row >= rows) return;
  const Choice choice = unpacked(choices[row]);
  const float of_taken = d_taken != nullptr ? d_taken[row] : 0.0f,
              of_max = d_max != nullptr ? d_max[row] : 0.0f;
  for (int a = threadIdx.x % kWarp; a < n_actions; a += kWarp) {
    float d = a == choice.taken ? of_taken : 0.0f;
    if (a == choice.best) d += of_max;
    d_agent_q[row * n_actions + a] = d;
  }
}

}  // namespace

void select_q(int64_t rows, int n_actions, const float* agent_q, const uint8_t* avail, const int64_t* actions,
              float* q_taken, float* q_max, int64_t* greedy, int32_t* choices, Runner runner) {
  if (rows == 0) return;
  if (n_actions <= kTileActions) {
    const size_t shared_bytes = static_cast<size_t>(kRows) * n_actions * (sizeof(float) + 1);
    launch("select_q", select_tile_kernel, blocks_for(rows, kRows), kRows, shared_bytes, runner, rows,
           n_actions, agent_q, avail, actions, q_taken, q_max, greedy, choices);
  } else {
    launch("select_q", select_wide_kernel, blocks_for(rows, kBlock / kWarp), kBlock, 0, runner, rows,
           n_actions, agent_q, avail, actions, q_taken, q_max, greedy, choices);
  }
}

void select_q_backward(int64_t rows, int n_actions, const int32_t* choices, const float* d_taken,
                       const float* d_max, float* d_agent_q, Runner runner) {
  if (rows == 0) return;
  if (n_actions <= kTileActions) {
    const size_t shared_bytes = static_cast<size_t>(kRows) * n_actions * sizeof(float);
    launch("select_q backward", select_tile_backward_kernel, blocks_for(rows, kRows), kRows, shared_bytes,
           runner, rows, n_actions, choices, d_taken, d_max, d_agent_q);
  } else {
    launch("select_q backward", select_wide_backward_kernel, blocks_for(rows, kBlock / kWarp), kBlock, 0,
           runner, rows, n_actions, choices, d_taken, d_max, d_agent_q);
  }
}

}  // namespace cuda
}  // namespace powqmix
