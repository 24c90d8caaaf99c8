// The GRU's tiles given out to threads, weights laid out for them, and their sums added up.
#include "cpu/gru_tiles.h"

#include <algorithm>
#include <vector>

#include "cpu/isa.h"
#include "cpu/parallel.h"

namespace powqmix {

namespace {

using Floats = std::vector<float>;

// Rows are summed in so many parts, each by one thread: the most threads that backward can use.
constexpr int64_t kParts = 32;

int64_t padded(int64_t size, int64_t width) { return (size + width - 1) / width * width; }

// weight [3H, depth] -> [3 hidden / width][depth][width], depth padded to whole words: gates are columns.
Floats gates_as_columns(const float* weight, int64_t H, int64_t depth, const GruTileKernels& kernels) {
  const int64_t width = kernels.width, hidden = padded(H, width), rows = padded(depth, kernels.per_word);
  Floats panels(static_cast<size_t>(3 * hidden * rows), 0.0f);
  for (int64_t gate = 0; gate < 3; ++gate) {
    for (int64_t h = 0; h < H; ++h) {
      const int64_t column = gate * hidden + h;
      float* to = &panels[column / width * rows * width + column % width];
      const float* from = weight + (gate * H + h) * depth;
      for (int64_t k = 0; k < depth; ++k) to[k * width] = from[k];
    }
  }
  kernels.pack(panels.data(), static_cast<int64_t>(panels.size()));
  return panels;
}

// weight [3H, columns] -> [columns / width][3 hidden][width]: gates are the depth.
Floats gates_as_depth(const float* weight, int64_t H, int64_t columns, const GruTileKernels& kernels) {
  const int64_t width = kernels.width, hidden = padded(H, width);
  Floats panels(static_cast<size_t>(3 * hidden * padded(columns, width)), 0.0f);
  for (int64_t gate = 0; gate < 3; ++gate) {
    for (int64_t h = 0; h < H; ++h) {
      const float* from = weight + (gate * H + h) * columns;
      for (int64_t c = 0; c < columns; ++c) {
        panels[(c / width * 3 * hidden + gate * hidden + h) * width + c % width] = from[c];
      }
    }
  }
  kernels.pack(panels.data(), static_cast<int64_t>(panels.size()));
  return panels;
}

Floats padded_gates(const float* bias, int64_t H, int64_t width) {
  const int64_t hidden = padded(H, width);
  Floats out(static_cast<size_t>(3 * hidden), 0.0f);
  for (int64_t gate = 0; gate < 3; ++gate) std::copy_n(bias + gate * H, H, &out[gate * hidden]);
  return out;
}

// sums [columns, 3 hidden] -> gradient [3H, columns].
void transpose_sums(const float* sums, int64_t H, int64_t hidden, int64_t columns, float* gradient) {
  for (int64_t gate = 0; gate < 3; ++gate) {
    for (int64_t h = 0; h < H; ++h) {
      for (int64_t c = 0; c < columns; ++c) {
        gradient[(gate * H + h) * columns + c] = sums[c * 3 * hidden + gate * hidden + h];
      }
    }
  }
}

// The best that this processor runs.
const GruTileKernels& kernels_for(bool bfloat16) {
#if defined(__x86_64__)
  if (bfloat16) return avx512_bf16::kGruTileKernels;
  if (best_isa() >= Isa::kAvx512) return avx512::kGruTileKernels;
  if (best_isa() >= Isa::kAvx2) return avx2::kGruTileKernels;
#endif
  return baseline::kGruTileKernels;
}

}  // namespace

bool gru_tiles_have_bfloat16() { return best_isa() >= Isa::kAvx512Bf16; }

void gru_tiles_forward(const GruTilesForward& call, int threads) {
  const GruTileKernels& kernels = kernels_for(call.bfloat16);
  const GruTilesShape& s = call.shape;
  const int64_t width = kernels.width, tiles = (s.rows() + kernels.tile_rows - 1) / kernels.tile_rows;
  const Floats w_ih = gates_as_columns(call.weights.w_ih, s.hidden, s.input, kernels),
               w_hh = gates_as_columns(call.weights.w_hh, s.hidden, s.hidden, kernels),
               b_ih = padded_gates(call.weights.b_ih, s.hidden, width),
               b_hh = padded_gates(call.weights.b_hh, s.hidden, width);
  const GruPanels panels{w_ih.data(), w_hh.data(), b_ih.data(), b_hh.data()};
  for_chunks(threads, tiles, equal_chunk(tiles, threads), [&](int64_t begin, int64_t end) {
    Floats memory(static_cast<size_t>(kernels.forward_memory(s)));
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile * kernels.tile_rows;
      const int rows = static_cast<int>(std::min<int64_t>(kernels.tile_rows, s.rows() - first));
      kernels.forward(call, panels, first, rows, memory.data());
    }
  });
}

void gru_tiles_backward(const GruTilesBackward& call, int threads) {
  const GruTileKernels& kernels = kernels_for(call.bfloat16);
  const GruTilesShape& s = call.shape;
  const int64_t width = kernels.width, tiles = (s.rows() + kernels.tile_rows - 1) / kernels.tile_rows;
  const int64_t hidden = padded(s.hidden, width), gates = 3 * hidden, parts = std::min(kParts, tiles);
  const int64_t size = (s.input + s.hidden + 2) * gates;
  const Floats w_ih = gates_as_depth(call.weights.w_ih, s.hidden, s.input, kernels),
               w_hh = gates_as_depth(call.weights.w_hh, s.hidden, s.hidden, kernels);
  const GruPanels panels{w_ih.data(), w_hh.data(), nullptr, nullptr};
  Floats sums(static_cast<size_t>(std::max<int64_t>(1, parts) * size), 0.0f);
  for_chunks(threads, parts, equal_chunk(parts, threads), [&](int64_t begin, int64_t end) {
    Floats memory(static_cast<size_t>(kernels.backward_memory(s)));
    for (int64_t part = begin; part < end; ++part) {
      for (int64_t tile = part * tiles / parts; tile < (part + 1) * tiles / parts; ++tile) {
        const int64_t first = tile * kernels.tile_rows;
        const int rows = static_cast<int>(std::min<int64_t>(kernels.tile_rows, s.rows() - first));
        kernels.backward(call, panels, first, rows, memory.data(), &sums[part * size]);
      }
    }
  });
  for (int64_t part = 1; part < parts; ++part) {
    for (int64_t k = 0; k < size; ++k) sums[k] += sums[part * size + k];
  }
  const float *of_x = sums.data(), *of_h = of_x + s.input * gates, *of_biases = of_h + s.hidden * gates;
  transpose_sums(of_x, s.hidden, hidden, s.input, call.gradients.w_ih);
  transpose_sums(of_h, s.hidden, hidden, s.hidden, call.gradients.w_hh);
  transpose_sums(of_biases, s.hidden, hidden, 1, call.gradients.b_ih);
  transpose_sums(of_biases + gates, s.hidden, hidden, 1, call.gradients.b_hh);
}

}  // namespace powqmix
