// The fused GRU kernels: a block owns a tile of rows through all steps. What it does is in
// powqmix/gru_block.h.
#include "cuda/device.h"
#include "powqmix/gru_block.h"

namespace powqmix {
namespace cuda {

namespace {

// One thread of a block: a phase is its part of it, and a barrier.
template <typename Block>
struct Team {
  typename Block::Thread own;
  template <typename Phase>
  __device__ __forceinline__ void phase(const Phase& run) {
    run(static_cast<int>(threadIdx.x), own);
    __syncthreads();
  }
};

template <typename Block>
__global__ void __launch_bounds__(Block::kThreads) gru_kernel(const typename Block::Given given) {
  __shared__ typename Block::Shared shared;
  Team<Block> team;
  gru_walk(Block(given, blockIdx.x, shared), team);
}

template <template <int> class Block, typename Given>
void launch_size(const char* op, int hidden, const Given& given, Runner runner) {
  if (given.shape.rows() == 0 || given.shape.steps == 0) return;
  gru_with_size<Block>(hidden, [&](auto* of) {
    using Sized = std::remove_pointer_t<decltype(of)>;
    const unsigned blocks = blocks_for(given.shape.rows(), Sized::kRows);
    launch(op, gru_kernel<Sized>, blocks, Sized::kThreads, 0, runner, given);
  });
}

}  // namespace

void gru_forward(int hidden, const GruForward& given, Runner runner) {
  launch_size<GruForwardBlock>("gru_sequence", hidden, given, runner);
}

void gru_backward(int hidden, const GruBackward& given, Runner runner) {
  launch_size<GruBackwardBlock>("gru_sequence backward", hidden, given, runner);
}

}  // namespace cuda
}  // namespace powqmix
