// The blocks of the fused GRU kernels on the CPU, a thread at a time: for tests on machines without a GPU.
#include <memory>
#include <vector>

#include "powqmix/gru_block.h"

namespace powqmix {
namespace cpu {

namespace {

// The threads of one block, in ascending or descending order: as phases have it, their order changes nothing.
template <typename Block>
class Team {
 public:
  explicit Team(bool descending) : threads_(Block::kThreads), descending_(descending) {}
  template <typename Phase>
  void phase(const Phase& run) {
    for (int i = 0; i < Block::kThreads; ++i) {
      const int thread = descending_ ? Block::kThreads - 1 - i : i;
      run(thread, threads_[thread]);
    }
  }

 private:
  std::vector<typename Block::Thread> threads_;
  bool descending_;
};

template <typename Block>
void emulate(const typename Block::Given& given, bool descending) {
  const auto shared = std::make_unique<typename Block::Shared>();
  const int64_t blocks = (given.shape.rows() + Block::kRows - 1) / Block::kRows;
  for (int64_t block = 0; block < blocks; ++block) {
    Team<Block> team(descending);
    gru_walk(Block(given, block, *shared), team);
  }
}

template <template <int> class Block, typename Given>
void emulate_size(int hidden, const Given& given, Runner runner) {
  gru_with_size<Block>(hidden,
                       [&](auto* of) { emulate<std::remove_pointer_t<decltype(of)>>(given, runner == 1); });
}

}  // namespace

void gru_forward(int hidden, const GruForward& given, Runner runner) {
  emulate_size<GruForwardBlock>(hidden, given, runner);
}

void gru_backward(int hidden, const GruBackward& given, Runner runner) {
  emulate_size<GruBackwardBlock>(hidden, given, runner);
}

}  // namespace cpu
}  // namespace powqmix
