// The GRU of batches with few rows, as a part of the agent's single call (agent_sequence.h), on one core:
// torch.nn.GRU's function and gate order (r, z, n). gru_tiles.h has the form for large batches.
//
// Rows are independent, so a block of them runs through all steps while its memory stays in the cache.
#pragma once

#include <cstdint>

namespace powqmix {

struct GruSequenceShape {
  int64_t rows;    // R
  int64_t steps;   // T
  int64_t input;   // I
  int64_t hidden;  // H
};

struct GruSequenceWeights {
  const float* w_ih;  // [3H, I]
  const float* w_hh;  // [3H, H]
  const float* b_ih;  // [3H]
  const float* b_hh;  // [3H]
};

// out [R, T, H] from x [R, T, I] and h0 [R, H] (null: zeros). saved [R, T, 4H] takes what the gradient needs;
// null where there will be none.
void gru_sequence_forward(const GruSequenceShape& shape, const GruSequenceWeights& weights, const float* x,
                          const float* h0, float* out, float* saved);

// The recurrent half of the gradient. From d_out [R, T, H], and the `out` and `saved` of the forward pass:
//   d_gi, d_gh [R, T, 3H]  of what x and h give to the gates
//   previous [R, T, H]     h before each step
//   d_h0 [R, H]            null where it is not wanted
// What is left are products: d_x = d_gi w_ih, d_w_ih = d_gi^T x, d_w_hh = d_gh^T previous, and column sums.
void gru_sequence_backward(const GruSequenceShape& shape, const float* w_hh, const float* h0,
                           const float* out, const float* saved, const float* d_out, float* d_gi, float* d_gh,
                           float* previous, float* d_h0);

struct GruSequenceGradients {
  float* x;     // [R, T, I]
  float* w_ih;  // [3H, I]
  float* w_hh;  // [3H, H]
  float* b_ih;  // [3H]
  float* b_hh;  // [3H]
};

// Those products, for sizes where calling a library for each costs more than it saves.
void gru_sequence_products(const GruSequenceShape& shape, const float* w_ih, const float* x,
                           const float* d_gi, const float* d_gh, const float* previous,
                           const GruSequenceGradients& gradients);

}  // namespace powqmix
