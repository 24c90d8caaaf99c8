#include "cpu/mlp.h"

#include <algorithm>

#include "cpu/dense.h"

namespace powqmix {

void mlp_forward(int rows, const std::vector<MlpLayer>& layers, const float* x,
                 const std::vector<float*>& activations) {
  const DenseKernels& dense = dense_kernels();
  const float* input = x;
  for (size_t l = 0; l < layers.size(); ++l) {
    const MlpLayer& layer = layers[l];
    float* out = activations[l];
    dense.multiply_transposed(rows, layer.outputs, layer.inputs, input, layer.inputs, layer.weight,
                              layer.inputs, layer.bias, out, layer.outputs);
    if (l + 1 < layers.size()) {
      const int64_t count = static_cast<int64_t>(rows) * layer.outputs;
      for (int64_t k = 0; k < count; ++k) out[k] = out[k] > 0.0f ? out[k] : 0.0f;
    }
    input = out;
  }
}

void mlp_backward(int rows, const std::vector<MlpLayer>& layers, const float* x,
                  const std::vector<float*>& activations, const float* d_out, float* d_x) {
  const DenseKernels& dense = dense_kernels();
  // The gradient of each hidden activation takes the place of the activation, once that has been used.
  const float* d = d_out;
  for (size_t l = layers.size(); l-- > 0;) {
    const MlpLayer& layer = layers[l];
    const float* input = l > 0 ? activations[l - 1] : x;
    if (layer.d_weight != nullptr) {
      dense.multiply(layer.outputs, layer.inputs, rows, d, 1, layer.outputs, input, layer.inputs,
                     layer.d_weight, layer.inputs, false);
      std::fill_n(layer.d_bias, layer.outputs, 0.0f);
      for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < layer.outputs; ++j)
          layer.d_bias[j] += d[static_cast<int64_t>(i) * layer.outputs + j];
      }
    }
    if (l == 0) {
      if (d_x != nullptr) {
        dense.multiply(rows, layer.inputs, layer.outputs, d, layer.outputs, 1, layer.weight, layer.inputs,
                       d_x, layer.inputs, false);
      }
      return;
    }
    std::vector<float> below(static_cast<size_t>(rows) * layer.inputs);
    dense.multiply(rows, layer.inputs, layer.outputs, d, layer.outputs, 1, layer.weight, layer.inputs,
                   below.data(), layer.inputs, false);
    float* hidden = activations[l - 1];
    for (size_t k = 0; k < below.size(); ++k) hidden[k] = hidden[k] > 0.0f ? below[k] : 0.0f;
    d = hidden;
  }
}

}  // namespace powqmix
