// Clipping and Adam over one flat vector of parameters.
#pragma once

#include <cstdint>

namespace powqmix {

struct AdamState {
  int64_t count;
  float* value;
  const float* gradient;
  float* mean;
  float* square;
  float* steps;  // [1] steps taken
};

struct AdamConstants {
  double learning_rate, beta1, beta2, epsilon, max_norm;
};

// Divides the gradient by max(1, norm / max_norm) and takes torch.optim.Adam's step. A gradient that is not
// finite changes nothing: then *skipped is 1, else 0. *norm is that before clipping.
void adam_step(const AdamState& state, const AdamConstants& constants, float* norm, float* skipped);

}  // namespace powqmix
