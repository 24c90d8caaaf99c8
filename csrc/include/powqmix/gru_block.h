// What a block of threads does with a tile of rows of a GRU: all T steps, with W_hh in the threads'
// registers.
//
// A block is a sequence of phases. Within a phase no thread reads what another one writes; after it all
// threads meet (csrc/cuda/gru.cu).
#pragma once

#include "powqmix/gru_tile.h"

namespace powqmix {

template <int H>
struct GruForwardBlock : GruTile<H> {
  using Tile = GruTile<H>;
  using Given = GruForward;
  static constexpr int kRows = Tile::kRows, kOwn = Tile::kOwn;
  static constexpr int kSlices = 4, kSlice = H / kSlices;

  struct Shared {
    Four h[kRows][H / 4];
    float partial[kSlices][kRows][3][H];
    float bias[3][H];
  };
  struct Thread {
    float weights[3][kSlice];  // of the unit's three gates
    float x[kOwn][3];          // what x gives to the gates, at the step that is under way
    uint32_t at[kOwn];         // the rows' places at step 0
  };

  const GruForward& given;
  Shared& shared;

  POWQMIX_HD GruForwardBlock(const GruForward& given, int64_t block, Shared& shared)
      : Tile{given.shape, block * kRows}, given(given), shared(shared) {}

  POWQMIX_HD void begin(int thread, Thread& own) {
    const int unit = Tile::unit(thread), slice = thread / H;
    POWQMIX_UNROLL
    for (int g = 0; g < 3; ++g) {
      if (slice == 0) shared.bias[g][unit] = given.b_hh[g * H + unit];
      POWQMIX_UNROLL
      for (int k = 0; k < kSlice; ++k) {
        own.weights[g][k] = given.w_hh[(g * H + unit) * H + slice * kSlice + k];
      }
    }
    POWQMIX_UNROLL
    for (int o = 0; o < kOwn; ++o) {
      own.at[o] = this->place(thread, o);
      const int64_t row = this->first_row + Tile::row(thread, o);
      shared.h[Tile::row(thread, o)][unit / 4].x[unit % 4] =
          own.at[o] != Tile::kOutside ? given.h0[row * H + unit] : 0.0f;
    }
  }

  // Reads h; writes this slice's part of W_hh h.
  POWQMIX_HD void multiply(int thread, Thread& own, int t) {
    const int unit = Tile::unit(thread), slice = thread / H;
    POWQMIX_UNROLL
    for (int o = 0; o < kOwn; ++o) {  // asked for early: they are on their way during the product
      if (own.at[o] == Tile::kOutside) continue;
      const float* from = given.gates + int64_t{this->later(own.at[o], t)} * width() + unit;
      POWQMIX_UNROLL
      for (int g = 0; g < 3; ++g) own.x[o][g] = from[g * H];
    }
    float sum[3][kRows];
    gru_multiply(own.weights, &shared.h[0][slice * kSlice / 4], H / 4, sum);
    POWQMIX_UNROLL
    for (int i = 0; i < kRows; ++i) {
      POWQMIX_UNROLL
      for (int g = 0; g < 3; ++g) shared.partial[slice][i][g][unit] = sum[g][i];
    }
  }

  // Reads the parts, and its own elements of h; writes these and the results.
  POWQMIX_HD void step(int thread, Thread& own, int t) {
    const int unit = Tile::unit(thread);
    POWQMIX_UNROLL
    for (int o = 0; o < kOwn; ++o) {
      if (own.at[o] == Tile::kOutside) continue;
      const int row = Tile::row(thread, o);
      float recurrent[3];
      POWQMIX_UNROLL
      for (int g = 0; g < 3; ++g) {
        recurrent[g] = shared.bias[g][unit];
        POWQMIX_UNROLL
        for (int s = 0; s < kSlices; ++s) recurrent[g] += shared.partial[s][row][g][unit];
      }
      float& h = shared.h[row][unit / 4].x[unit % 4];
      const float r = gru_sigmoid(own.x[o][0] + recurrent[0]), z = gru_sigmoid(own.x[o][1] + recurrent[1]);
      const float n = tanhf(own.x[o][2] + r * recurrent[2]);
      h = n + z * (h - n);
      const int64_t at = this->later(own.at[o], t);
      given.out[at * H + unit] = h;
      if (given.keep) {
        float* to = given.gates + at * width() + unit;
        to[0] = r, to[H] = z, to[2 * H] = n, to[3 * H] = recurrent[2];
      }
    }
  }

  POWQMIX_HD int width() const { return given.keep ? 4 * H : 3 * H; }
};

template <int H>
struct GruBackwardBlock : GruTile<H> {
  using Tile = GruTile<H>;
  using Given = GruBackward;
  static constexpr int kRows = Tile::kRows, kOwn = Tile::kOwn;
  static constexpr int kSlices = 8, kSlice = 3 * H / kSlices;

  struct Shared {
    Four d_h[kRows][3 * H / 4];  // gradients of what h gives to the gates
    float partial[kSlices][kRows][H];
  };
  struct Thread {
    float weights[2][kSlice];  // of two columns of W_hh, H / 2 apart
    float past_z[kOwn];        // what reaches h of the step before without going through W_hh
    uint32_t at[kOwn];         // the rows' places at step 0
    float r[kOwn], z[kOwn], n[kOwn], h_n[kOwn], before[kOwn], d[kOwn];  // of the step that comes next
  };

  const GruBackward& given;
  Shared& shared;

  POWQMIX_HD GruBackwardBlock(const GruBackward& given, int64_t block, Shared& shared)
      : Tile{given.shape, block * kRows}, given(given), shared(shared) {}

  POWQMIX_HD static int column(int thread) { return thread % (H / 2); }
  POWQMIX_HD static int slice(int thread) { return thread / (H / 2); }

  POWQMIX_HD void begin(int thread, Thread& own) {
    POWQMIX_UNROLL
    for (int k = 0; k < kSlice; ++k) {
      const float* from = given.w_hh + (slice(thread) * kSlice + k) * H + column(thread);
      own.weights[0][k] = from[0], own.weights[1][k] = from[H / 2];
    }
    POWQMIX_UNROLL
    for (int i = 0; i < kRows; ++i) {  // no gradient comes from after the last step
      shared.partial[slice(thread)][i][column(thread)] = 0.0f;
      shared.partial[slice(thread)][i][column(thread) + H / 2] = 0.0f;
    }
    POWQMIX_UNROLL
    for (int o = 0; o < kOwn; ++o) {
      own.at[o] = this->place(thread, o);
      own.past_z[o] = 0.0f;
    }
    fetch(thread, own, static_cast<int>(this->shape.steps) - 1);
  }

  // Reads the parts; writes the gradients at the gates of step t.
  POWQMIX_HD void step(int thread, Thread& own, int t) {
    const int unit = Tile::unit(thread);
    POWQMIX_UNROLL
    for (int o = 0; o < kOwn; ++o) {
      const int row = Tile::row(thread, o);
      float d_r = 0.0f, d_z = 0.0f, d_n = 0.0f, d_hn = 0.0f;
      if (own.at[o] != Tile::kOutside) {
        const float d = own.d[o] + carried(thread, own, o), r = own.r[o], z = own.z[o], n = own.n[o];
        d_n = d * (1.0f - z) * (1.0f - n * n);
        d_z = d * (own.before[o] - n) * z * (1.0f - z);
        d_r = d_n * own.h_n[o] * r * (1.0f - r);
        d_hn = d_n * r;
        own.past_z[o] = d * z;
        float* to = given.d_gates + int64_t{this->later(own.at[o], t)} * (4 * H) + unit;
        to[0] = d_r, to[H] = d_z, to[2 * H] = d_n, to[3 * H] = d_hn;
      }
      shared.d_h[row][unit / 4].x[unit % 4] = d_r;
      shared.d_h[row][(H + unit) / 4].x[unit % 4] = d_z;
      shared.d_h[row][(2 * H + unit) / 4].x[unit % 4] = d_hn;
    }
  }

  // Reads the gradients at the gates; writes this slice's part of what they give to h of the step before.
  POWQMIX_HD void multiply(int thread, Thread& own, int t) {
    if (t > 0) fetch(thread, own, t - 1);
    float sum[2][kRows];
    gru_multiply(own.weights, &shared.d_h[0][slice(thread) * kSlice / 4], 3 * H / 4, sum);
    POWQMIX_UNROLL
    for (int i = 0; i < kRows; ++i) {
      shared.partial[slice(thread)][i][column(thread)] = sum[0][i];
      shared.partial[slice(thread)][i][column(thread) + H / 2] = sum[1][i];
    }
  }

  POWQMIX_HD void end(int thread, Thread& own) {
    POWQMIX_UNROLL
    for (int o = 0; o < kOwn; ++o) {
      const int64_t row = this->first_row + Tile::row(thread, o);
      if (own.at[o] != Tile::kOutside) given.d_h0[row * H + Tile::unit(thread)] = carried(thread, own, o);
    }
  }

 private:
  POWQMIX_HD float carried(int thread, const Thread& own, int o) const {
    float sum = own.past_z[o];
    POWQMIX_UNROLL
    for (int s = 0; s < kSlices; ++s) sum += shared.partial[s][Tile::row(thread, o)][Tile::unit(thread)];
    return sum;
  }

  // What step t will need of memory, asked for before the product.
  POWQMIX_HD void fetch(int thread, Thread& own, int t) {
    const int unit = Tile::unit(thread);
    POWQMIX_UNROLL
    for (int o = 0; o < kOwn; ++o) {
      if (own.at[o] == Tile::kOutside) continue;
      const int64_t at = this->later(own.at[o], t);
      const float* gates = given.gates + at * (4 * H) + unit;
      own.r[o] = gates[0], own.z[o] = gates[H], own.n[o] = gates[2 * H], own.h_n[o] = gates[3 * H];
      own.d[o] = given.d_out[at * H + unit];
      own.before[o] = t > 0 ? given.out[(at - this->shape.agents) * H + unit]
                            : given.h0[(this->first_row + Tile::row(thread, o)) * H + unit];
    }
  }
};

// A block's whole work. `team` runs a phase for every thread and lets them meet after it.
template <int H, typename Team>
POWQMIX_HD void gru_walk(GruForwardBlock<H> block, Team& team) {
  using Thread = typename GruForwardBlock<H>::Thread;
  team.phase([&](int thread, Thread& own) { block.begin(thread, own); });
  for (int t = 0; t < block.shape.steps; ++t) {
    team.phase([&](int thread, Thread& own) { block.multiply(thread, own, t); });
    team.phase([&](int thread, Thread& own) { block.step(thread, own, t); });
  }
}

template <int H, typename Team>
POWQMIX_HD void gru_walk(GruBackwardBlock<H> block, Team& team) {
  using Thread = typename GruBackwardBlock<H>::Thread;
  team.phase([&](int thread, Thread& own) { block.begin(thread, own); });
  for (int t = static_cast<int>(block.shape.steps) - 1; t >= 0; --t) {
    team.phase([&](int thread, Thread& own) { block.step(thread, own, t); });
    team.phase([&](int thread, Thread& own) { block.multiply(thread, own, t); });
  }
  team.phase([&](int thread, Thread& own) { block.end(thread, own); });
}

// Calls `launch` with a block type of this H. Callers have asked gru_takes.
template <template <int> class Block, typename Launch>
void gru_with_size(int hidden, Launch launch) {
  if (hidden == 32) launch(static_cast<Block<32>*>(nullptr));
  if (hidden == 64) launch(static_cast<Block<64>*>(nullptr));
  if (hidden == 128) launch(static_cast<Block<128>*>(nullptr));
}

}  // namespace powqmix
