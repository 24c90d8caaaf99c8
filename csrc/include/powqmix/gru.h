// The fused kernels of a GRU's recurrent half. The products with the inputs are the caller's: one matrix
// product for all steps before, and those of the gradients after.
//
// groups x T x agents is below 2^32. Letters as in powqmix.ops.gru_sequence: R = groups x agents rows, of
// which `agents` lie beside each other at each step: [groups, T, agents, ...]. Gates stand in torch's order
// (r, z, n). float32, C-contiguous.
#pragma once

#include <cstdint>

#include "powqmix/ops.h"

namespace powqmix {

struct GruShape {
  int64_t groups;
  int agents, steps;
  int64_t rows() const { return groups * agents; }
};

struct GruForward {
  GruShape shape;
  const float* w_hh;  // [3H, H]
  const float* b_hh;  // [3H]
  const float* h0;    // [R, H]
  float* gates;       // [.., 4H] or [.., 3H]: before, the first 3H hold w_ih x + b_ih; see `keep`
  float* out;         // [.., H]
  bool keep;  // gates [.., 4H] become (r, z, n, w_hn h + b_hn), for the gradient; else [.., 3H], unchanged
};

struct GruBackward {
  GruShape shape;
  const float* w_hh;   // [3H, H]
  const float* h0;     // [R, H]
  const float* out;    // [.., H]
  const float* gates;  // [.., 4H], as forward left them
  const float* d_out;  // [.., H]
  float* d_gates;      // [.., 4H]: of what x gives to (r, z, n), and of what h gives to n
  float* d_h0;         // [R, H]
};

// Whether there are kernels for this H.
constexpr bool gru_takes(int hidden) { return hidden == 32 || hidden == 64 || hidden == 128; }

namespace cuda {
void gru_forward(int hidden, const GruForward& given, Runner runner);
void gru_backward(int hidden, const GruBackward& given, Runner runner);
}  // namespace cuda

}  // namespace powqmix
