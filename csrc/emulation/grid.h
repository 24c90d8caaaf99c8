// A grid of blocks of threads on one thread of the CPU. The threads of a block are coroutines: each runs
// until it waits for its block or its warp, and then the next one does, in an order that tests choose. What
// is right on a GPU gives the same bits in every order; a race does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace powqmix {
namespace emulation {

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Of the thread that runs.
extern dim3 threadIdx, blockIdx, blockDim, gridDim;
int lane();

// Runs `thread` for each thread of the grid. Throws std::logic_error naming `op` where a GPU refuses the
// launch, never comes to an end or does something undefined: too much shared memory, a write beyond it, a
// shuffle without one of its lanes.
void run(const char* op, dim3 grid, int threads_of_block, size_t shared_bytes,
         const std::function<void()>& thread);

// Called by threads: the block's dynamic shared memory; __syncthreads; a shuffle.
void* dynamic_shared();
void wait_for_block();
uint64_t exchange(unsigned mask, uint64_t value, int source);

// In which order blocks and threads take turns: 0 ascending, 1 descending, else shuffled with this seed.
void set_order(uint64_t order);

}  // namespace emulation
}  // namespace powqmix
