// The tile of rows that a block of threads of the fused GRU owns, and its product with weights in registers.
//
// A step's product of the tile with W_hh is cut along its sum into slices: a thread holds the weights of its
// slice and of a few columns, and multiplies them with all rows of the tile, which it reads as broadcasts
// from shared memory. Slices are added in their order, so that results are the same bits every time.
#pragma once

#include <cmath>

#include "powqmix/gru.h"

#ifdef __CUDACC__
#define POWQMIX_UNROLL _Pragma("unroll")
#else
#define POWQMIX_UNROLL
#endif

namespace powqmix {

// Four neighbouring floats, which shared memory gives by one instruction.
struct alignas(16) Four {
  float x[4];
};

POWQMIX_HD float gru_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// sum[c][i] += weights of column c times row i of a tile, over one slice. `tile` points at the slice in row
// 0.
template <int kColumns, int kSlice, int kRows>
POWQMIX_HD void gru_multiply(const float (&weights)[kColumns][kSlice], const Four* tile, int row_fours,
                             float (&sum)[kColumns][kRows]) {
  static_assert(kSlice % 4 == 0, "slices are read in fours");
  POWQMIX_UNROLL
  for (int i = 0; i < kRows; ++i) {
    POWQMIX_UNROLL
    for (int c = 0; c < kColumns; ++c) sum[c][i] = 0.0f;
    POWQMIX_UNROLL
    for (int k = 0; k < kSlice / 4; ++k) {
      const Four of_row = tile[i * row_fours + k];
      POWQMIX_UNROLL
      for (int j = 0; j < 4; ++j) {
        POWQMIX_UNROLL
        for (int c = 0; c < kColumns; ++c) sum[c][i] += weights[c][4 * k + j] * of_row.x[j];
      }
    }
  }
}

// Sizes that both directions share. 4 H threads: each has kOwn elements (row, unit) of the tile's [kRows, H].
template <int H>
struct GruTile {
  static constexpr int kThreads = 4 * H;
  static constexpr int kRows = H > 64 ? 4 : 8;
  static constexpr int kOwn = kRows / 4;
  static constexpr uint32_t kOutside = 0xffffffffu;

  GruShape shape;
  int64_t first_row;

  POWQMIX_HD static int unit(int thread) { return thread % H; }
  POWQMIX_HD static int row(int thread, int own) { return thread / H + 4 * own; }
  // Where a row of the tile stands at step 0, as an index into [groups, T, agents]; kOutside behind the last
  // row. A step further is `agents` more.
  POWQMIX_HD uint32_t place(int thread, int own) const {
    const int64_t r = first_row + row(thread, own), group = r / shape.agents;
    if (group >= shape.groups) return kOutside;
    return static_cast<uint32_t>(group * shape.steps * shape.agents + r - group * shape.agents);
  }
  POWQMIX_HD uint32_t later(uint32_t place, int t) const {
    return place + static_cast<uint32_t>(t * shape.agents);
  }
};

}  // namespace powqmix
