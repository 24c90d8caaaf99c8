// What a linear layer's gradient is made of, for the networks that are one call for few rows.
#pragma once

#include <cstdint>

#include "cpu/dense.h"

namespace powqmix {

inline void relu(float* x, int64_t count) {
  for (int64_t k = 0; k < count; ++k) x[k] = x[k] > 0.0f ? x[k] : 0.0f;
}

// Zeroes the gradient of a ReLU where its output is 0.
inline void relu_backward(const float* output, float* gradient, int64_t count) {
  for (int64_t k = 0; k < count; ++k) gradient[k] = output[k] > 0.0f ? gradient[k] : 0.0f;
}

// sums [columns] of matrix [rows, columns], whose rows are `stride` apart.
inline void sum_columns(const float* matrix, int64_t rows, int64_t columns, int64_t stride, float* sums) {
  for (int64_t j = 0; j < columns; ++j) sums[j] = 0.0f;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) sums[j] += matrix[i * stride + j];
  }
}

// A matrix [rows, columns] inside a wider one, whose rows are `stride` apart.
template <typename T>
struct Part {
  T* at;
  int64_t stride;
};

// The gradients of a layer y = x weight^T + bias, weight [outputs, inputs]: of weight and bias, and of what
// it reads (may be null).
inline void layer_backward(const DenseKernels& dense, int rows, int outputs, int inputs,
                           Part<const float> d_out, Part<const float> input, const float* weight,
                           float* d_weight, float* d_bias, Part<float> d_input) {
  dense.multiply(outputs, inputs, rows, d_out.at, 1, d_out.stride, input.at, input.stride, d_weight, inputs,
                 false);
  sum_columns(d_out.at, rows, outputs, d_out.stride, d_bias);
  if (d_input.at == nullptr) return;
  dense.multiply(rows, inputs, outputs, d_out.at, d_out.stride, 1, weight, inputs, d_input.at, d_input.stride,
                 false);
}

}  // namespace powqmix
