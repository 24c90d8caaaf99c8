// Decoding stored episodes on CUDA: a row of blocks has one episode, a thread every so many elements of it,
// so that neighbouring threads read and write neighbouring elements. What a thread does is decode_part of
// powqmix/replay.h, which is tested on the CPU too.
#include "cuda/device.h"
#include "powqmix/replay.h"

namespace powqmix {
namespace cuda {

namespace {

constexpr int kElementsOfThread = 8;  // of the largest array, about
constexpr int kMostBlocks = 1024;     // of one episode
constexpr int64_t kMostRows = 65535;  // of a grid's second axis

__global__ void __launch_bounds__(kBlock)
    replay_decode_kernel(ReplayLayout layout, const uint8_t* __restrict__ payload,
                         const int64_t* __restrict__ offsets, const int64_t* __restrict__ steps,
                         ReplayBatch batch) {
  const int64_t row = blockIdx.y;
  const DecodeWorker worker = {static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x),
                               static_cast<int>(gridDim.x * blockDim.x)};
  decode_part(worker, layout, payload + offsets[row], steps[row], batch, row);
}

}  // namespace

void replay_decode(const ReplayLayout& layout, const uint8_t* payload, const int64_t* offsets,
                   const int64_t* steps, int64_t rows, const ReplayBatch& batch, Runner runner) {
  if (rows == 0) return;
  if (rows > kMostRows) {
    throw std::runtime_error("powqmix: replay_decode takes at most " + std::to_string(kMostRows) +
                             " episodes, got " + std::to_string(rows) + "; lower training.batch_size");
  }
  const int64_t elements = (batch.steps + 1) * layout.n_agents * layout.obs_size;
  const unsigned wanted = blocks_for(elements, kBlock * kElementsOfThread);
  const unsigned blocks = wanted < 1 ? 1 : wanted < kMostBlocks ? wanted : kMostBlocks;
  launch("replay_decode", replay_decode_kernel, dim3(blocks, static_cast<unsigned>(rows)), kBlock, 0, runner,
         layout, payload, offsets, steps, batch);
}

}  // namespace cuda
}  // namespace powqmix
