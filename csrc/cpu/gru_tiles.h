// The GRU of the learner's large batches: tiles of rows run through all steps, forward and backward, while
// the recurrent state, the gates' gradients and the weights stay in the near caches.
//
// torch.nn.GRU's function and gate order (r, z, n). Sums run in one order that depends on the shape alone, so
// results are the same bits from run to run, whatever the number of threads. gru_sequence.h is the form for
// few rows on one core, as a part of the agent's single call.
#pragma once

#include <cstdint>

#include "cpu/gru_sequence.h"

namespace powqmix {

// R = groups x agents rows. x and out are [groups, T, agents, .]: an episode's agents lie beside each other
// at each step, as the learner's batches have them; with 1 agent that is [R, T, .].
struct GruTilesShape {
  int64_t groups, agents, steps, input, hidden;
  int64_t rows() const { return groups * agents; }
};

// Tensors other than weights and their gradients are float32, or, with `bfloat16`, that: products are then of
// numbers rounded to it, and sums and the recurrent state stay float32. That needs the processor's
// instructions (gru_tiles_have_bfloat16).
struct GruTilesForward {
  GruTilesShape shape;
  bool bfloat16;
  GruSequenceWeights weights;
  const void* x;   // [groups, T, agents, I]
  const void* h0;  // [R, H]
  void* out;       // [groups, T, agents, H]
  void* saved;     // R T 4H numbers for the gradient, in the tiles' own order; null where there will be none
};

struct GruTilesBackward {
  GruTilesShape shape;
  bool bfloat16;
  GruSequenceWeights weights;  // the biases are not read
  const void *x, *h0, *out, *saved;
  const void* d_out;  // as out
  void* d_x;          // as x, or null where it is not wanted
  void* d_h0;         // [R, H]
  GruSequenceGradients gradients;
};

void gru_tiles_forward(const GruTilesForward& call, int threads);
void gru_tiles_backward(const GruTilesBackward& call, int threads);

// Weights as the tiles read them: panels of `width` columns one after the other, each row by row in words of
// `per_word` numbers; gates are padded to `hidden` columns, a multiple of the width, and inputs to `input`.
struct GruPanels {
  // Forward: [3 hidden / width][I or H][width], I and H padded to whole words. Backward: [input or hidden /
  // width][3 hidden][width].
  const float *w_ih, *w_hh;
  const float *b_ih, *b_hh;  // forward: [3 hidden]
};

// What one instruction set offers. A tile is tile_rows consecutive rows, fewer at the end.
struct GruTileKernels {
  const char* name;
  int width, tile_rows, per_word;
  // One tile through all steps.
  void (*forward)(const GruTilesForward& call, const GruPanels& panels, int64_t first, int rows,
                  float* memory);
  // And back. sums: the weights' gradients so far, transposed, gates padded: [I, 3 hidden], [H, 3 hidden],
  // and those of the two biases, [3 hidden] each.
  void (*backward)(const GruTilesBackward& call, const GruPanels& panels, int64_t first, int rows,
                   float* memory, float* sums);
  // Numbers of `memory` that a thread needs.
  int64_t (*forward_memory)(const GruTilesShape& shape);
  int64_t (*backward_memory)(const GruTilesShape& shape);
  // Packs `count` float32 numbers of a weight's panels, of an even depth, into words, in place.
  void (*pack)(float* panels, int64_t count);
};

bool gru_tiles_have_bfloat16();

namespace baseline {
extern const GruTileKernels kGruTileKernels;
}
namespace avx2 {
extern const GruTileKernels kGruTileKernels;
}
namespace avx512 {
extern const GruTileKernels kGruTileKernels;
}
namespace avx512_bf16 {
extern const GruTileKernels kGruTileKernels;
}

}  // namespace powqmix
