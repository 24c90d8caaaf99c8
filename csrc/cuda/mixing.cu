// hyper_scales and monotonic_mix on CUDA. A group of lanes shares a row's K columns, in packs of four where K
// and the addresses allow; neighbouring lanes read neighbouring addresses.
#include "cuda/device.h"

namespace powqmix {
namespace cuda {

namespace {

template <int kPack>
__global__ void hyper_scales_kernel(int64_t count, int n_agents, int embed, int lanes,
                                    const float* __restrict__ w1, const float* __restrict__ w2,
                                    float* __restrict__ scales) {
  const int64_t at = global_thread() / lanes;  // (row, agent)
  const int lane = threadIdx.x % lanes;
  float sum = 0.0f;
  if (at < count) {
    const float* of_agent = w1 + at * embed;
    const float* of_row = w2 + quotient(at, n_agents) * embed;
    for (int k = lane * kPack; k < embed; k += lanes * kPack) {
      const Pack<kPack> a = load<kPack>(of_agent + k), b = load<kPack>(of_row + k);
      for (int j = 0; j < kPack; ++j) sum += fabsf(a.x[j]) * fabsf(b.x[j]);
    }
  }
  sum = sum_lanes(sum, lanes);
  if (at < count && lane == 0) scales[at] = sum;
}

template <int kPack>
__global__ void hyper_scales_backward_kernel(int64_t count, int n_agents, int embed,
                                             const float* __restrict__ w1, const float* __restrict__ w2,
                                             const float* __restrict__ d_scales, float* __restrict__ d_w1,
                                             float* __restrict__ d_w2) {
  const int64_t at = global_thread() * kPack;  // (row, k)
  if (at >= count) return;
  const int64_t row = quotient(at, embed), k = at - row * embed;
  const Pack<kPack> of_row = load<kPack>(w2 + at);
  Pack<kPack> sum = {};
  for (int i = 0; i < n_agents; ++i) {
    const int64_t element = (row * n_agents + i) * embed + k;
    const float d = d_scales[row * n_agents + i];
    const Pack<kPack> of_agent = load<kPack>(w1 + element);
    Pack<kPack> d_agent;
    for (int j = 0; j < kPack; ++j) {
      d_agent.x[j] = d * fabsf(of_row.x[j]) * sign_of(of_agent.x[j]);
      sum.x[j] += d * fabsf(of_agent.x[j]);
    }
    store(d_w1 + element, d_agent);
  }
  for (int j = 0; j < kPack; ++j) sum.x[j] *= sign_of(of_row.x[j]);
  store(d_w2 + at, sum);
}

// q |w1| + b1 of one row at columns k ..
template <int kPack>
__device__ Pack<kPack> mixing_hidden(int n_agents, int embed, const float* q, const float* w1,
                                     const float* b1) {
  Pack<kPack> hidden = load<kPack>(b1);
  for (int i = 0; i < n_agents; ++i, w1 += embed) {
    const float value = q[i];
    const Pack<kPack> weight = load<kPack>(w1);
    for (int j = 0; j < kPack; ++j) hidden.x[j] += value * fabsf(weight.x[j]);
  }
  return hidden;
}

template <int kPack>
__global__ void monotonic_mix_kernel(int64_t rows, int n_agents, int embed, int lanes,
                                     const float* __restrict__ q, const float* __restrict__ w1,
                                     const float* __restrict__ b1, const float* __restrict__ w2,
                                     const float* __restrict__ b2, float* __restrict__ q_tot) {
  const int64_t row = global_thread() / lanes;
  const int lane = threadIdx.x % lanes;
  float total = 0.0f;
  if (row < rows) {
    for (int k = lane * kPack; k < embed; k += lanes * kPack) {
      const Pack<kPack> hidden = mixing_hidden<kPack>(n_agents, embed, q + row * n_agents,
                                                      w1 + row * n_agents * embed + k, b1 + row * embed + k);
      const Pack<kPack> weight = load<kPack>(w2 + row * embed + k);
      for (int j = 0; j < kPack; ++j) total += elu(hidden.x[j]) * fabsf(weight.x[j]);
    }
  }
  total = sum_lanes(total, lanes);
  if (row < rows && lane == 0) q_tot[row] = total + b2[row];
}

template <int kPack>
__global__ void monotonic_mix_backward_kernel(int64_t rows, int n_agents, int embed, int lanes,
                                              const float* __restrict__ q, const float* __restrict__ w1,
                                              const float* __restrict__ b1, const float* __restrict__ w2,
                                              const float* __restrict__ d_q_tot, float* __restrict__ d_q,
                                              float* __restrict__ d_w1, float* d_b1,
                                              float* __restrict__ d_w2) {
  const int64_t row = global_thread() / lanes;
  const int lane = threadIdx.x % lanes;
  const bool inside = row < rows;
  const int64_t agents = row * n_agents;
  if (inside) {
    const float d = d_q_tot[row];
    for (int k = lane * kPack; k < embed; k += lanes * kPack) {
      const int64_t at = row * embed + k;
      const Pack<kPack> hidden =
          mixing_hidden<kPack>(n_agents, embed, q + agents, w1 + agents * embed + k, b1 + at);
      const Pack<kPack> weight = load<kPack>(w2 + at);
      Pack<kPack> d_weight, d_hidden;
      for (int j = 0; j < kPack; ++j) {
        d_weight.x[j] = d * elu(hidden.x[j]) * sign_of(weight.x[j]);
        d_hidden.x[j] = d * fabsf(weight.x[j]) * elu_slope(hidden.x[j]);
      }
      store(d_w2 + at, d_weight);
      store(d_b1 + at, d_hidden);
    }
  }
  for (int i = 0; i < n_agents; ++i) {
    float sum = 0.0f;
    if (inside) {
      const float value = q[agents + i];
      for (int k = lane * kPack; k < embed; k += lanes * kPack) {
        const int64_t element = (agents + i) * embed + k;
        const Pack<kPack> weight = load<kPack>(w1 + element);
        const Pack<kPack> d_hidden = load<kPack>(d_b1 + row * embed + k);  // written above by this lane
        Pack<kPack> d_weight;
        for (int j = 0; j < kPack; ++j) {
          d_weight.x[j] = d_hidden.x[j] * value * sign_of(weight.x[j]);
          sum += d_hidden.x[j] * fabsf(weight.x[j]);
        }
        store(d_w1 + element, d_weight);
      }
    }
    sum = sum_lanes(sum, lanes);
    if (inside && lane == 0) d_q[agents + i] = sum;
  }
}

// Whether all rows of K columns can be moved in packs of four.
template <typename... Pointers>
bool in_packs(int embed, Pointers... at) {
  return embed % 4 == 0 && (aligned(at) && ...);
}

}  // namespace

void hyper_scales(int64_t rows, int n_agents, int embed, const float* w1, const float* w2, float* scales,
                  Runner runner) {
  const int64_t count = rows * n_agents;
  if (count == 0) return;
  const bool packs = in_packs(embed, w1, w2);
  const int lanes = lanes_for(packs ? embed / 4 : embed);
  const auto kernel = packs ? hyper_scales_kernel<4> : hyper_scales_kernel<1>;
  launch("hyper_scales", kernel, blocks_for(count * lanes, kBlock), kBlock, 0, runner, count, n_agents, embed,
         lanes, w1, w2, scales);
}

void hyper_scales_backward(int64_t rows, int n_agents, int embed, const float* w1, const float* w2,
                           const float* d_scales, float* d_w1, float* d_w2, Runner runner) {
  const int64_t count = rows * embed;
  if (count == 0) return;
  const bool packs = in_packs(embed, w1, w2, d_w1, d_w2);
  const auto kernel = packs ? hyper_scales_backward_kernel<4> : hyper_scales_backward_kernel<1>;
  launch("hyper_scales backward", kernel, blocks_for(count / (packs ? 4 : 1), kBlock), kBlock, 0, runner,
         count, n_agents, embed, w1, w2, d_scales, d_w1, d_w2);
}

void monotonic_mix(int64_t rows, int n_agents, int embed, const float* q, const float* w1, const float* b1,
                   const float* w2, const float* b2, float* q_tot, Runner runner) {
  if (rows == 0) return;
  const bool packs = in_packs(embed, w1, b1, w2);
  const int lanes = lanes_for(packs ? embed / 4 : embed);
  const auto kernel = packs ? monotonic_mix_kernel<4> : monotonic_mix_kernel<1>;
  launch("monotonic_mix", kernel, blocks_for(rows * lanes, kBlock), kBlock, 0, runner, rows, n_agents, embed,
         lanes, q, w1, b1, w2, b2, q_tot);
}

void monotonic_mix_backward(int64_t rows, int n_agents, int embed, const float* q, const float* w1,
                            const float* b1, const float* w2, const float* d_q_tot, float* d_q, float* d_w1,
                            float* d_b1, float* d_w2, Runner runner) {
  if (rows == 0) return;
  const bool packs = in_packs(embed, w1, b1, w2, d_w1, d_b1, d_w2);
  const int lanes = lanes_for(packs ? embed / 4 : embed);
  const auto kernel = packs ? monotonic_mix_backward_kernel<4> : monotonic_mix_backward_kernel<1>;
  launch("monotonic_mix backward", kernel, blocks_for(rows * lanes, kBlock), kBlock, 0, runner, rows,
         n_agents, embed, lanes, q, w1, b1, w2, d_q_tot, d_q, d_w1, d_b1, d_w2);
}

}  // namespace cuda
}  // namespace powqmix
