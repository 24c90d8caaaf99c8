#include "cpu/mlp.h"

#include <algorithm>

#include "cpu/layer.h"

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
    if (l + 1 < layers.size()) relu(out, static_cast<int64_t>(rows) * layer.outputs);
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
    if (l == 0) {
      layer_backward(dense, rows, layer.outputs, layer.inputs, {d, layer.outputs}, {input, layer.inputs},
                     layer.weight, layer.d_weight, layer.d_bias, {d_x, layer.inputs});
      return;
    }
    std::vector<float> below(static_cast<size_t>(rows) * layer.inputs);
    layer_backward(dense, rows, layer.outputs, layer.inputs, {d, layer.outputs}, {input, layer.inputs},
                   layer.weight, layer.d_weight, layer.d_bias, {below.data(), layer.inputs});
    float* hidden = activations[l - 1];
    relu_backward(hidden, below.data(), static_cast<int64_t>(below.size()));
    std::copy(below.begin(), below.end(), hidden);
    d = hidden;
  }
}

}  // namespace powqmix
