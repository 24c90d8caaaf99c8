// A chain of linear layers with ReLU between them, forward and backward, for batches of few rows: one call
// where a library needs one for each product, sum and mask.
#pragma once

#include <cstdint>
#include <vector>

namespace powqmix {

struct MlpLayer {
  const float* weight;  // [outputs, inputs]
  const float* bias;    // [outputs]
  int inputs;
  int outputs;
  float* d_weight = nullptr;  // for the backward pass
  float* d_bias = nullptr;
};

// activations[l]: [rows, outputs of layer l], after the ReLU but for the last layer's, which is the result.
void mlp_forward(int rows, const std::vector<MlpLayer>& layers, const float* x,
                 const std::vector<float*>& activations);

// Gradients from d_out [rows, outputs of the last]. `activations` are those of the forward pass and are
// overwritten. d_x [rows, inputs of the first] may be null.
void mlp_backward(int rows, const std::vector<MlpLayer>& layers, const float* x,
                  const std::vector<float*>& activations, const float* d_out, float* d_x);

}  // namespace powqmix
