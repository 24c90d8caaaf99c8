// The recognizer's gradient on a batch of many rows: tiles of rows go forward and back while their
// activations stay in the near caches, on as many threads as are wanted. recognizer_fit.h is the form for few
// rows.
//
// Sums run in one order that depends on the shape alone: results are the same bits with any number of
// threads.
#pragma once

#include <cstdint>

#include "cpu/recognizer_fit.h"

namespace powqmix {

// Writes the gradient of L_r (recognizer_fit.h) at `parameters`, and the loss. With `bfloat16` products are
// of numbers rounded to it, summed in float32, where the processor has instructions for that.
void recognizer_gradient(const RecognizerShape& shape, const RecognizerTensors<const float>& parameters,
                         const RecognizerTensors<float>& gradients, const RecognizerRows& rows, bool bfloat16,
                         int threads, float* loss);

// Sizes padded to whole panels (panels.inc): H, S, K, and the columns of w1, which are K for each agent.
struct RecognizerPanels {
  int64_t hidden, state, embed, mixing;
  int64_t table;  // rows of action_in: N A
};

// The parameters as the tiles read them; `forward` [outputs / width][inputs][width], `backward` [inputs /
// width] [outputs][width], both packed; biases padded.
struct RecognizerWeights {
  const float* action_in;  // [N A, 2 hidden]
  const float *state_forward, *state_bias;
  const float *hidden_forward, *hidden_backward, *hidden_bias;  // three, one after the other
  const float *w1_forward, *w1_backward, *w1_bias;
  const float *w2_forward, *w2_backward, *w2_bias;
  const float* value_weight;  // [hidden]
  float value_bias;
};

// Sums of gradients over rows: weights in panels [inputs / width][outputs][width].
struct RecognizerSums {
  float *action_in, *state_weight, *state_bias, *hidden_weight, *hidden_bias, *w1_weight, *w1_bias,
      *w2_weight, *w2_bias, *value_weight;
  float value_bias;
  double loss;
};

// What one instruction set offers.
struct RecognizerTileKernels {
  const char* name;
  int width, tile_rows;
  // Adds the gradient of `count` rows from `first` on to `sums`.
  void (*tile)(const RecognizerShape& shape, const RecognizerPanels& panels, const RecognizerWeights& weights,
               const RecognizerRows& rows, int64_t first, int64_t count, float* memory, RecognizerSums& sums);
  // Numbers of `memory` that a thread needs.
  int64_t (*memory)(const RecognizerPanels& panels);
  // Packs a weight's panels of `count` numbers for products, in place.
  void (*pack)(float* panels, int64_t count);
};

// The best that this processor runs.
const RecognizerTileKernels& recognizer_tile_kernels(bool bfloat16);

namespace baseline {
extern const RecognizerTileKernels kRecognizerTileKernels;
}
namespace avx2 {
extern const RecognizerTileKernels kRecognizerTileKernels;
}
namespace avx512 {
extern const RecognizerTileKernels kRecognizerTileKernels;
}
namespace avx512_bf16 {
extern const RecognizerTileKernels kRecognizerTileKernels;
}

}  // namespace powqmix
