#include "cpu/adam.h"

#include <algorithm>
#include <cmath>

#include "cpu/dense.h"

namespace powqmix {

void adam_step(const AdamState& state, const AdamConstants& constants, float* norm, float* skipped) {
  const DenseKernels& dense = dense_kernels();
  const double length = std::sqrt(dense.sum_of_squares(state.count, state.gradient));
  *norm = static_cast<float>(length);
  *skipped = std::isfinite(length) ? 0.0f : 1.0f;
  if (*skipped != 0.0f) return;
  *state.steps += 1.0f;
  const double steps = *state.steps;
  const double rate = constants.learning_rate / (1.0 - std::pow(constants.beta1, steps));
  const double root = 1.0 / std::sqrt(1.0 - std::pow(constants.beta2, steps));
  const double scale = 1.0 / std::max(1.0, length / constants.max_norm);
  dense.adam(state.count, static_cast<float>(scale), static_cast<float>(constants.beta1),
             static_cast<float>(constants.beta2), static_cast<float>(rate), static_cast<float>(root),
             static_cast<float>(constants.epsilon), state.gradient, state.mean, state.square, state.value);
}

}  // namespace powqmix
