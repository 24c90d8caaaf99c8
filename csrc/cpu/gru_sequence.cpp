#include "cpu/gru_sequence.h"

#include <algorithm>
#include <vector>

#include "cpu/dense.h"

namespace powqmix {

namespace {

constexpr int64_t kBlockRows = 24;

std::vector<float> transposed(const float* weight, int64_t rows, int64_t columns) {
  std::vector<float> out(static_cast<size_t>(rows * columns));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[j * rows + i] = weight[i * columns + j];
  }
  return out;
}

void add_columns(const float* matrix, int64_t rows, int64_t columns, float* sums) {
  std::fill_n(sums, columns, 0.0f);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) sums[j] += matrix[i * columns + j];
  }
}

}  // namespace

void gru_sequence_forward(const GruSequenceShape& shape, const GruSequenceWeights& weights, const float* x,
                          const float* h0, float* out, float* saved) {
  const DenseKernels& dense = dense_kernels();
  const int64_t R = shape.rows, T = shape.steps, I = shape.input, H = shape.hidden;
  const std::vector<float> w_ih = transposed(weights.w_ih, 3 * H, I),
                           w_hh = transposed(weights.w_hh, 3 * H, H);
  const std::vector<float> zeros(static_cast<size_t>(H), 0.0f);
  std::vector<float> gi(static_cast<size_t>(kBlockRows * 3 * H)), gh(gi.size()), unsaved(4 * H);
  for (int64_t first = 0; first < R; first += kBlockRows) {
    const int rows = static_cast<int>(std::min(kBlockRows, R - first));
    for (int64_t t = 0; t < T; ++t) {
      for (int i = 0; i < rows; ++i) {
        std::copy_n(weights.b_ih, 3 * H, &gi[i * 3 * H]);
        std::copy_n(weights.b_hh, 3 * H, &gh[i * 3 * H]);
      }
      dense.multiply(rows, 3 * H, I, x + (first * T + t) * I, T * I, 1, w_ih.data(), 3 * H, gi.data(), 3 * H,
                     true);
      const float* h = t > 0 ? out + (first * T + t - 1) * H : h0 != nullptr ? h0 + first * H : zeros.data();
      const int64_t h_row = t > 0 ? T * H : h0 != nullptr ? H : 0;
      if (h != zeros.data()) {
        dense.multiply(rows, 3 * H, H, h, h_row, 1, w_hh.data(), 3 * H, gh.data(), 3 * H, true);
      }
      for (int i = 0; i < rows; ++i) {
        const int64_t at = (first + i) * T + t;
        dense.gru_gates(static_cast<int>(H), &gi[i * 3 * H], &gh[i * 3 * H], h + i * h_row, out + at * H,
                        saved != nullptr ? saved + at * 4 * H : unsaved.data());
      }
    }
  }
}

void gru_sequence_backward(const GruSequenceShape& shape, const float* w_hh, const float* h0,
                           const float* out, const float* saved, const float* d_out, float* d_gi, float* d_gh,
                           float* previous, float* d_h0) {
  const DenseKernels& dense = dense_kernels();
  const int64_t R = shape.rows, T = shape.steps, H = shape.hidden, G = 3 * H;
  std::vector<float> carry(static_cast<size_t>(kBlockRows * H)), d_next(static_cast<size_t>(H));
  for (int64_t first = 0; first < R; first += kBlockRows) {
    const int rows = static_cast<int>(std::min(kBlockRows, R - first));
    for (int64_t r = first; r < first + rows; ++r) {
      float* to = previous + r * T * H;
      if (h0 != nullptr) {
        std::copy_n(h0 + r * H, H, to);
      } else {
        std::fill_n(to, H, 0.0f);
      }
      std::copy_n(out + r * T * H, (T - 1) * H, to + H);
    }
    std::fill_n(carry.begin(), rows * H, 0.0f);
    for (int64_t t = T - 1; t >= 0; --t) {
      for (int i = 0; i < rows; ++i) {
        const int64_t at = (first + i) * T + t;
        for (int64_t k = 0; k < H; ++k) d_next[k] = d_out[at * H + k] + carry[i * H + k];
        dense.gru_gates_backward(static_cast<int>(H), saved + at * 4 * H, previous + at * H, d_next.data(),
                                 d_gi + at * G, d_gh + at * G, &carry[i * H]);
      }
      if (t == 0 && d_h0 == nullptr) break;
      dense.multiply(rows, H, G, d_gh + (first * T + t) * G, T * G, 1, w_hh, H, carry.data(), H, true);
    }
    if (d_h0 != nullptr) std::copy_n(carry.begin(), rows * H, d_h0 + first * H);
  }
}

void gru_sequence_products(const GruSequenceShape& shape, const float* w_ih, const float* x,
                           const float* d_gi, const float* d_gh, const float* previous,
                           const GruSequenceGradients& gradients) {
  const DenseKernels& dense = dense_kernels();
  const int64_t I = shape.input, H = shape.hidden, G = 3 * H, all = shape.rows * shape.steps;
  dense.multiply(all, I, G, d_gi, G, 1, w_ih, I, gradients.x, I, false);
  dense.multiply(G, I, all, d_gi, 1, G, x, I, gradients.w_ih, I, false);
  dense.multiply(G, H, all, d_gh, 1, G, previous, H, gradients.w_hh, H, false);
  add_columns(d_gi, all, G, gradients.b_ih);
  add_columns(d_gh, all, G, gradients.b_hh);
}

}  // namespace powqmix
