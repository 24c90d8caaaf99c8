#include "emulation/grid.h"

#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace powqmix {
namespace emulation {

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

constexpr int kWarp = 32, kMostThreads = 1024;
constexpr size_t kMostShared = 48 << 10, kGuard = 64, kStack = 64 << 10;
constexpr unsigned kMostBlocks = 0x7fffffffu, kMostBlocksAside = 65535;
constexpr unsigned char kPoison = 0xff;  // a NaN as a float, and -1

enum class Waits { kNothing, kWarp, kBlock, kEnded };

// A coroutine; it takes a thread of one block after the other.
struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  Waits waits = Waits::kEnded;
  unsigned mask = 0;  // of the shuffle that it waits for
  uint64_t given = 0, got = 0;
  int source = 0;
};

uint64_t order_seed = 0;
const char* of_op = "";
std::vector<std::unique_ptr<Thread>> threads;  // made when first needed
const std::function<void()>* work = nullptr;
ucontext_t scheduler;
const void* scheduler_stack = nullptr;  // for the sanitizer
size_t scheduler_stack_size = 0;
Thread* running = nullptr;
std::vector<unsigned char> shared_memory;
unsigned char* shared_begin = nullptr;

[[noreturn]] void refuse(const std::string& what) {
  threads.clear();  // they may be in the midst of a kernel
  throw std::logic_error(std::string("emulated CUDA: ") + of_op + ": " + what);
}

// Where another stack is gone to, and come to: the address sanitizer has to know.
void leaving([[maybe_unused]] void** kept, [[maybe_unused]] const void* stack, [[maybe_unused]] size_t size) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(kept, stack, size);
#endif
}
void arrived([[maybe_unused]] void* kept, [[maybe_unused]] const void** from, [[maybe_unused]] size_t* size) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(kept, from, size);
#endif
}

void back_to_scheduler(Waits waits) {
  Thread* const self = running;
  self->waits = waits;
  void* kept = nullptr;
  leaving(&kept, scheduler_stack, scheduler_stack_size);
  swapcontext(&self->context, &scheduler);
  arrived(kept, &scheduler_stack, &scheduler_stack_size);
}

void thread_main() {
  arrived(nullptr, &scheduler_stack, &scheduler_stack_size);
  for (;;) {
    (*work)();
    back_to_scheduler(Waits::kEnded);
  }
}

void resume(int thread) {
  running = threads[thread].get();
  running->waits = Waits::kNothing;
  threadIdx = dim3(static_cast<unsigned>(thread), 0, 0);
  void* kept = nullptr;
  leaving(&kept, running->stack.get(), kStack);
  swapcontext(&scheduler, &running->context);
  arrived(kept, nullptr, nullptr);
}

void make_threads(int count) {
  while (static_cast<int>(threads.size()) < count) {
    auto made = std::make_unique<Thread>();
    made->stack = std::make_unique<char[]>(kStack);
    getcontext(&made->context);
    made->context.uc_stack.ss_sp = made->stack.get();
    made->context.uc_stack.ss_size = kStack;
    made->context.uc_link = nullptr;
    makecontext(&made->context, thread_main, 0);
    threads.push_back(std::move(made));
  }
}

std::vector<unsigned> in_order(unsigned count, std::mt19937_64& random) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  if (order_seed == 1) std::reverse(order.begin(), order.end());
  if (order_seed > 1) std::shuffle(order.begin(), order.end(), random);
  return order;
}

// A warp of which a lane waits for the others: if all are there, each gets what it asked for.
bool exchange_in_warp(int first) {
  for (int i = first; i < first + kWarp; ++i) {
    if (threads[i]->waits == Waits::kNothing) return false;
    if (threads[i]->waits != Waits::kWarp) {
      refuse("thread " + std::to_string(i) + " takes no part in a shuffle of its warp");
    }
    if (threads[i]->mask != 0xffffffffu) refuse("a shuffle with another mask than all lanes");
  }
  for (int i = first; i < first + kWarp; ++i) {
    threads[i]->got = threads[first + threads[i]->source]->given;
  }
  return true;
}

// Lets those go on that have what they waited for. False if no thread is left.
bool release(int count) {
  int ended = 0, at_barrier = 0;
  for (int i = 0; i < count; ++i) {
    ended += threads[i]->waits == Waits::kEnded;
    at_barrier += threads[i]->waits == Waits::kBlock;
  }
  if (ended == count) return false;
  if (ended + at_barrier == count) {
    for (int i = 0; i < count; ++i) {
      if (threads[i]->waits == Waits::kBlock) threads[i]->waits = Waits::kNothing;
    }
    return true;
  }
  for (int first = 0; first < count; first += kWarp) {
    const int beyond = std::min(first + kWarp, count);
    const bool shuffles = std::any_of(threads.begin() + first, threads.begin() + beyond,
                                      [](const auto& thread) { return thread->waits == Waits::kWarp; });
    if (!shuffles) continue;
    if (beyond - first < kWarp) refuse("a shuffle in a warp that is not whole");
    if (exchange_in_warp(first)) {
      for (int i = first; i < beyond; ++i) threads[i]->waits = Waits::kNothing;
    }
  }
  return true;
}

void run_block(int count, size_t shared_bytes, std::mt19937_64& random) {
  std::fill(shared_memory.begin(), shared_memory.end(), kPoison);
  for (int i = 0; i < count; ++i) threads[i]->waits = Waits::kNothing;
  do {
    for (const unsigned i : in_order(static_cast<unsigned>(count), random)) {
      if (threads[i]->waits == Waits::kNothing) resume(static_cast<int>(i));
    }
  } while (release(count));
  for (size_t i = shared_bytes; i < shared_bytes + kGuard; ++i) {
    if (shared_begin[i] != kPoison) refuse("a write beyond the block's shared memory");
  }
}

}  // namespace

int lane() { return static_cast<int>(threadIdx.x) % kWarp; }

void* dynamic_shared() { return shared_begin; }

void wait_for_block() { back_to_scheduler(Waits::kBlock); }

uint64_t exchange(unsigned mask, uint64_t value, int source) {
  Thread* const self = running;
  self->mask = mask;
  self->given = value;
  self->source = source;
  back_to_scheduler(Waits::kWarp);
  return self->got;
}

void set_order(uint64_t order) { order_seed = order; }

void run(const char* op, dim3 grid, int threads_of_block, size_t shared_bytes,
         const std::function<void()>& thread) {
  of_op = op;
  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > kMostBlocks || grid.y > kMostBlocksAside ||
      grid.z > kMostBlocksAside) {
    refuse("a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " +
           std::to_string(grid.z) + " blocks");
  }
  if (threads_of_block < 1 || threads_of_block > kMostThreads) {
    refuse(std::to_string(threads_of_block) + " threads in a block");
  }
  if (shared_bytes > kMostShared) refuse(std::to_string(shared_bytes) + " bytes of shared memory");
  make_threads(threads_of_block);
  shared_memory.resize(shared_bytes + 2 * kGuard);
  shared_begin = shared_memory.data();
  shared_begin += (kGuard - reinterpret_cast<uintptr_t>(shared_begin) % kGuard) % kGuard;
  std::mt19937_64 random(order_seed);
  work = &thread;
  gridDim = grid;
  blockDim = dim3(static_cast<unsigned>(threads_of_block));
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (const unsigned x : in_order(grid.x, random)) {
        blockIdx = dim3(x, y, z);
        run_block(threads_of_block, shared_bytes, random);
      }
    }
  }
}

}  // namespace emulation
}  // namespace powqmix
