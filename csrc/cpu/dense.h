// Small dense algebra for one core: what the learner's networks need where a batch is too small for a
// library's products to pay, and the recurrent steps that no library fuses.
//
// One text (dense.inc) is compiled for each instruction set; sums run in one fixed order, so results are the
// same from run to run on one machine.
#pragma once

#include <cstdint>

namespace powqmix {

struct DenseKernels {
  const char* name;

  // c[i, j] (+)= sum_k a(i, k) b[k, j] for i < m, j < n, k < depth. a(i, k) is a[i * a_row + k * a_depth];
  // rows of b and c are ldb and ldc apart. With `accumulate` the sum starts from c.
  void (*multiply)(int m, int n, int depth, const float* a, int64_t a_row, int64_t a_depth, const float* b,
                   int64_t ldb, float* c, int64_t ldc, bool accumulate);

  // c[i, j] = bias[j] + sum_k a[i, k] b[j, k]: a layer whose weight is kept as b [n, depth]. bias may be
  // null.
  void (*multiply_transposed)(int m, int n, int depth, const float* a, int64_t lda, const float* b,
                              int64_t ldb, const float* bias, float* c, int64_t ldc);

  // One step of a GRU for one row. gi, gh: [3H] what x and h give to r, z and n, biases included; h, next:
  // [H]; saved: [4H] takes r, z, n and gh's part of n.
  void (*gru_gates)(int hidden, const float* gi, const float* gh, const float* h, float* next, float* saved);

  // Its gradient. dnext: [H] of next, in; dgi, dgh: [3H] of gi and gh, out; dh: [H] of h through the gate z
  // only.
  void (*gru_gates_backward)(int hidden, const float* saved, const float* h, const float* dnext, float* dgi,
                             float* dgh, float* dh);

  // The ops of powqmix/ops.h that work on vectors of columns. With `past_caches` the large result is written
  // past the caches: for one that is in no near cache when its reader comes, it spares the processor reading
  // every line that it is about to overwrite.
  void (*monotonic_mix)(int64_t rows, int n_agents, int embed, const float* q, const float* w1,
                        const float* b1, const float* w2, const float* b2, float* q_tot);
  void (*monotonic_mix_backward)(int64_t rows, int n_agents, int embed, const float* q, const float* w1,
                                 const float* b1, const float* w2, const float* d_q_tot, float* d_q,
                                 float* d_w1, float* d_b1, float* d_w2, bool past_caches);
  void (*hyper_scales)(int64_t rows, int n_agents, int embed, const float* w1, const float* w2,
                       float* scales);
  void (*hyper_scales_backward)(int64_t rows, int n_agents, int embed, const float* w1, const float* w2,
                                const float* d_scales, float* d_w1, float* d_w2, bool past_caches);

  void (*select_q)(int64_t rows, int n_actions, const float* agent_q, const uint8_t* avail,
                   const int64_t* actions, float* q_taken, float* q_max, int64_t* greedy, int32_t* choices);
  void (*select_q_backward)(int64_t rows, int n_actions, const int32_t* choices, const float* d_taken,
                            const float* d_max, float* d_agent_q, bool past_caches);

  // The sum of squares of x [count], in double.
  double (*sum_of_squares)(int64_t count, const float* x);

  // A step of Adam along scale * gradient: mean and square are updated in place, and
  // value -= rate mean / (sqrt(square) root + epsilon).
  void (*adam)(int64_t count, float scale, float beta1, float beta2, float rate, float root, float epsilon,
               const float* gradient, float* mean, float* square, float* value);
};

// The best that this processor runs.
const DenseKernels& dense_kernels();

namespace baseline {
extern const DenseKernels kDenseKernels;
}
namespace avx2 {
extern const DenseKernels kDenseKernels;
}

}  // namespace powqmix
