// The ops on CUDA. Rows go to groups of lanes that read neighbouring addresses; sums within a group are
// shuffles in a fixed tree, and nothing is accumulated across groups.
#include <stdexcept>
#include <string>

#include "powqmix/ops.h"

namespace powqmix {
namespace cuda {

namespace {

constexpr int kWarp = 32;
constexpr int kBlock = 256;
constexpr unsigned kAll = 0xffffffffu;

void check_launch(const char* op) {
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("powqmix: ") + op + ": " + cudaGetErrorString(error));
  }
}

int blocks_for(int64_t threads) { return static_cast<int>((threads + kBlock - 1) / kBlock); }

cudaStream_t on(Stream stream) { return static_cast<cudaStream_t>(stream); }

// The smallest group of lanes, a power of two, that covers `size` elements, at most a warp.
int lanes_for(int size) {
  int lanes = 1;
  while (lanes < size && lanes < kWarp) lanes *= 2;
  return lanes;
}

// The sum over a group of `lanes` neighbouring lanes, in all of them.
__device__ float sum_lanes(float value, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAll, value, offset);
  return value;
}

__device__ int64_t global_thread() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

__global__ void select_q_kernel(int64_t rows, int n_actions, int lanes, const float* __restrict__ agent_q,
                                const uint8_t* __restrict__ avail, const int64_t* __restrict__ actions,
                                float* __restrict__ q_taken, float* __restrict__ q_max,
                                int64_t* __restrict__ greedy) {
  const int64_t row = global_thread() / lanes;
  const int lane = threadIdx.x % lanes;
  int best = -1;
  float value = 0.0f;
  if (row < rows) {
    const float* q = agent_q + row * n_actions;
    const uint8_t* legal = avail + row * n_actions;
    for (int a = lane; a < n_actions; a += lanes) {
      const float candidate = q[a];
      if (legal[a] && (best < 0 || candidate > value)) {
        best = a;
        value = candidate;
      }
    }
  }
  for (int offset = lanes / 2; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(kAll, value, offset);
    const int other_best = __shfl_xor_sync(kAll, best, offset);
    if (other_best >= 0 && (best < 0 || other > value || (other == value && other_best < best))) {
      best = other_best;
      value = other;
    }
  }
  if (row < rows && lane == 0) {
    q_taken[row] = agent_q[row * n_actions + actions[row]];
    q_max[row] = best < 0 ? 0.0f : value;
    greedy[row] = best < 0 ? 0 : best;
  }
}

__global__ void select_q_backward_kernel(int64_t count, int n_actions, const uint8_t* __restrict__ avail,
                                         const int64_t* __restrict__ actions,
                                         const int64_t* __restrict__ greedy,
                                         const float* __restrict__ d_taken, const float* __restrict__ d_max,
                                         float* __restrict__ d_agent_q) {
  const int64_t at = global_thread();
  if (at >= count) return;
  const int64_t row = at / n_actions;
  const int64_t action = at % n_actions;
  float d = action == actions[row] ? d_taken[row] : 0.0f;
  if (action == greedy[row] && avail[at]) d += d_max[row];
  d_agent_q[at] = d;
}

__global__ void hyper_scales_kernel(int64_t count, int n_agents, int embed, int lanes,
                                    const float* __restrict__ w1, const float* __restrict__ w2,
                                    float* __restrict__ scales) {
  const int64_t at = global_thread() / lanes;  // (row, agent)
  const int lane = threadIdx.x % lanes;
  float sum = 0.0f;
  if (at < count) {
    const float* of_agent = w1 + at * embed;
    const float* of_row = w2 + at / n_agents * embed;
    for (int k = lane; k < embed; k += lanes) sum += fabsf(of_agent[k]) * fabsf(of_row[k]);
  }
  sum = sum_lanes(sum, lanes);
  if (at < count && lane == 0) scales[at] = sum;
}

__global__ void hyper_scales_backward_kernel(int64_t count, int n_agents, int embed,
                                             const float* __restrict__ w1, const float* __restrict__ w2,
                                             const float* __restrict__ d_scales, float* __restrict__ d_w1,
                                             float* __restrict__ d_w2) {
  const int64_t at = global_thread();  // (row, k)
  if (at >= count) return;
  const int64_t row = at / embed;
  const int k = static_cast<int>(at % embed);
  const float of_row = w2[at], size = fabsf(of_row);
  float sum = 0.0f;
  for (int i = 0; i < n_agents; ++i) {
    const int64_t element = (row * n_agents + i) * embed + k;
    const float d = d_scales[row * n_agents + i], of_agent = w1[element];
    d_w1[element] = d * size * sign_of(of_agent);
    sum += d * fabsf(of_agent);
  }
  d_w2[at] = sum * sign_of(of_row);
}

// The last filled step of an episode, by all lanes of a warp; -1 where none is.
__device__ int last_filled(const uint8_t* filled, int steps, int lane) {
  int last = -1;
  for (int t = lane; t < steps; t += kWarp) last = filled[t] ? t : last;
  for (int offset = kWarp / 2; offset > 0; offset /= 2) last = max(last, __shfl_xor_sync(kAll, last, offset));
  return last;
}

// An episode's targets by one warp. The recursion y_t = c_t + m_t y_{t+1} is an affine map: each lane
// composes those of its chunk, a scan over the lanes gives what follows each chunk, and a second pass writes.
// The chunks are cut from the filled steps alone, so padding changes nothing.
__device__ void targets_of_episode(int steps, float td_lambda, const float* next_value, const float* reward,
                                   const float* discount, const uint8_t* filled, float* target) {
  const int lane = threadIdx.x % kWarp;
  const int last = last_filled(filled, steps, lane);
  for (int t = last + 1 + lane; t < steps; t += kWarp) target[t] = 0.0f;
  const int chunk = (last + kWarp) / kWarp;
  const int begin = min(lane * chunk, last + 1), end = min(begin + chunk, last + 1);
  float slope = 1.0f, offset = 0.0f;  // y_begin = offset + slope y_end
  for (int t = end - 1; t >= begin; --t) {
    const float own = filled[t] ? discount[t] : 0.0f;
    const float next = t == last ? next_value[t] : (1.0f - td_lambda) * next_value[t];
    const float m = t == last ? 0.0f : own * td_lambda;
    offset = (filled[t] ? reward[t] + own * next : 0.0f) + m * offset;
    slope = m * slope;
  }
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const float other_slope = __shfl_down_sync(kAll, slope, distance);
    const float other_offset = __shfl_down_sync(kAll, offset, distance);
    if (lane + distance < kWarp) {
      offset += slope * other_offset;
      slope *= other_slope;
    }
  }
  float later = __shfl_down_sync(kAll, offset, 1);
  if (lane == kWarp - 1) later = 0.0f;
  for (int t = end - 1; t >= begin; --t) {
    later =
        filled[t] ? td_lambda_step(reward[t], discount[t], next_value[t], later, td_lambda, t == last) : 0.0f;
    target[t] = later;
  }
}

// One block an episode: the first warp scans the targets, the others take the steps' advantages meanwhile.
__global__ void powqmix_head_kernel(int steps, int n_agents, HeadConstants constants,
                                    const float* __restrict__ scales, const float* __restrict__ state_value,
                                    const float* __restrict__ q_taken, const float* __restrict__ q_max,
                                    const float* __restrict__ next_value, const float* __restrict__ reward,
                                    const float* __restrict__ discount, const uint8_t* __restrict__ filled,
                                    float* __restrict__ q_r, float* __restrict__ joint_weight,
                                    float* __restrict__ target) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * steps;
  if (threadIdx.x < kWarp) {
    targets_of_episode(steps, constants.td_lambda, next_value + first, reward + first, discount + first,
                       filled + first, target + first);
    return;
  }
  for (int t = threadIdx.x - kWarp; t < steps; t += blockDim.x - kWarp) {
    const int64_t row = first + t;
    if (!filled[row]) {
      q_r[row] = joint_weight[row] = 0.0f;
      continue;
    }
    const int64_t agents = row * n_agents;
    const float advantage = joint_advantage(scales + agents, q_taken + agents, q_max + agents, n_agents);
    q_r[row] = state_value[row] + advantage;
    joint_weight[row] =
        advantage >= -constants.recognition_tolerance ? constants.recognized_weight : constants.other_weight;
  }
}

__global__ void td_lambda_target_kernel(int64_t episodes, int steps, float td_lambda,
                                        const float* __restrict__ next_value,
                                        const float* __restrict__ reward, const float* __restrict__ discount,
                                        const uint8_t* __restrict__ filled, float* __restrict__ target) {
  const int64_t episode = global_thread() / kWarp;
  if (episode >= episodes) return;  // whole warps leave
  const int64_t first = episode * steps;
  targets_of_episode(steps, td_lambda, next_value + first, reward + first, discount + first, filled + first,
                     target + first);
}

__global__ void powqmix_head_backward_kernel(int64_t count, int n_agents, const float* __restrict__ q_taken,
                                             const float* __restrict__ q_max,
                                             const uint8_t* __restrict__ filled,
                                             const float* __restrict__ d_q_r, float* __restrict__ d_scales,
                                             float* __restrict__ d_state_value) {
  const int64_t at = global_thread();  // (row, agent)
  if (at >= count) return;
  const int64_t row = at / n_agents;
  const float d = filled[row] ? d_q_r[row] : 0.0f;
  d_scales[at] = filled[row] ? d * (q_taken[at] - q_max[at]) : 0.0f;
  if (at % n_agents == 0) d_state_value[row] = d;
}

__global__ void monotonic_mix_kernel(int64_t rows, int n_agents, int embed, int lanes,
                                     const float* __restrict__ q, const float* __restrict__ w1,
                                     const float* __restrict__ b1, const float* __restrict__ w2,
                                     const float* __restrict__ b2, float* __restrict__ q_tot) {
  const int64_t row = global_thread() / lanes;
  const int lane = threadIdx.x % lanes;
  float total = 0.0f;
  if (row < rows) {
    for (int k = lane; k < embed; k += lanes) {
      float hidden = 0.0f;
      for (int i = 0; i < n_agents; ++i) {
        hidden += q[row * n_agents + i] * fabsf(w1[(row * n_agents + i) * embed + k]);
      }
      total += elu(hidden + b1[row * embed + k]) * fabsf(w2[row * embed + k]);
    }
  }
  total = sum_lanes(total, lanes);
  if (row < rows && lane == 0) q_tot[row] = total + b2[row];
}

__global__ void monotonic_mix_backward_kernel(int64_t rows, int n_agents, int embed, int lanes,
                                              const float* __restrict__ q, const float* __restrict__ w1,
                                              const float* __restrict__ b1, const float* __restrict__ w2,
                                              const float* __restrict__ d_q_tot, float* __restrict__ d_q,
                                              float* __restrict__ d_w1, float* __restrict__ d_b1,
                                              float* __restrict__ d_w2) {
  const int64_t row = global_thread() / lanes;
  const int lane = threadIdx.x % lanes;
  const bool inside = row < rows;
  const int64_t agents = row * n_agents;
  const float d = inside ? d_q_tot[row] : 0.0f;
  if (inside) {
    for (int k = lane; k < embed; k += lanes) {
      const int64_t at = row * embed + k;
      float hidden = 0.0f;
      for (int i = 0; i < n_agents; ++i) hidden += q[agents + i] * fabsf(w1[(agents + i) * embed + k]);
      hidden += b1[at];
      d_w2[at] = d * elu(hidden) * sign_of(w2[at]);
      d_b1[at] = d * fabsf(w2[at]) * elu_slope(hidden);
    }
  }
  for (int i = 0; i < n_agents; ++i) {
    float sum = 0.0f;
    if (inside) {
      const float value = q[agents + i];
      for (int k = lane; k < embed; k += lanes) {
        const int64_t element = (agents + i) * embed + k;
        const float weight = w1[element], d_hidden = d_b1[row * embed + k];  // written above by this lane
        d_w1[element] = d_hidden * value * sign_of(weight);
        sum += d_hidden * fabsf(weight);
      }
    }
    sum = sum_lanes(sum, lanes);
    if (inside && lane == 0) d_q[agents + i] = sum;
  }
}

// One block: each thread sums its own rows in order, then halves add up pairwise. The batches of a learner
// are a few ten thousand rows, for which a second kernel would cost more than the idle processors.
constexpr int kLossBlock = 1024;

__global__ void weighted_loss_kernel(int64_t rows, const float* __restrict__ value,
                                     const float* __restrict__ target, const float* __restrict__ share,
                                     const float* __restrict__ weight, float* __restrict__ loss,
                                     float* __restrict__ gradient) {
  __shared__ double sums[kLossBlock];
  double sum = 0.0;
  for (int64_t row = threadIdx.x; row < rows; row += kLossBlock) {
    const float factor = share[row] == 0.0f  ? 0.0f
                         : weight == nullptr ? share[row]
                                             : share[row] * weight[row];
    const LossPart part = squared_error(value[row], target[row], factor);
    gradient[row] = part.slope;
    sum += part.loss;
  }
  sums[threadIdx.x] = sum;
  for (int half = kLossBlock / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *loss = static_cast<float>(sums[0]);
}

}  // namespace

void select_q(int64_t rows, int n_actions, const float* agent_q, const uint8_t* avail, const int64_t* actions,
              float* q_taken, float* q_max, int64_t* greedy, Stream stream) {
  if (rows == 0) return;
  const int lanes = lanes_for(n_actions);
  select_q_kernel<<<blocks_for(rows * lanes), kBlock, 0, on(stream)>>>(rows, n_actions, lanes, agent_q, avail,
                                                                       actions, q_taken, q_max, greedy);
  check_launch("select_q");
}

void select_q_backward(int64_t rows, int n_actions, const uint8_t* avail, const int64_t* actions,
                       const int64_t* greedy, const float* d_taken, const float* d_max, float* d_agent_q,
                       Stream stream) {
  const int64_t count = rows * n_actions;
  if (count == 0) return;
  select_q_backward_kernel<<<blocks_for(count), kBlock, 0, on(stream)>>>(count, n_actions, avail, actions,
                                                                         greedy, d_taken, d_max, d_agent_q);
  check_launch("select_q backward");
}

void hyper_scales(int64_t rows, int n_agents, int embed, const float* w1, const float* w2, float* scales,
                  Stream stream) {
  const int64_t count = rows * n_agents;
  if (count == 0) return;
  const int lanes = lanes_for(embed);
  hyper_scales_kernel<<<blocks_for(count * lanes), kBlock, 0, on(stream)>>>(count, n_agents, embed, lanes, w1,
                                                                            w2, scales);
  check_launch("hyper_scales");
}

void hyper_scales_backward(int64_t rows, int n_agents, int embed, const float* w1, const float* w2,
                           const float* d_scales, float* d_w1, float* d_w2, Stream stream) {
  const int64_t count = rows * embed;
  if (count == 0) return;
  hyper_scales_backward_kernel<<<blocks_for(count), kBlock, 0, on(stream)>>>(count, n_agents, embed, w1, w2,
                                                                             d_scales, d_w1, d_w2);
  check_launch("hyper_scales backward");
}

void powqmix_head(BatchShape shape, int n_agents, HeadConstants constants, const float* scales,
                  const float* state_value, const float* q_taken, const float* q_max, const float* next_value,
                  const float* reward, const float* discount, const uint8_t* filled, float* q_r,
                  float* joint_weight, float* target, Stream stream) {
  if (shape.rows() == 0) return;
  constexpr int kHeadBlock = 128;
  powqmix_head_kernel<<<static_cast<unsigned>(shape.episodes), kHeadBlock, 0, on(stream)>>>(
      static_cast<int>(shape.steps), n_agents, constants, scales, state_value, q_taken, q_max, next_value,
      reward, discount, filled, q_r, joint_weight, target);
  check_launch("powqmix_head");
}

void powqmix_head_backward(int64_t rows, int n_agents, const float* q_taken, const float* q_max,
                           const uint8_t* filled, const float* d_q_r, float* d_scales, float* d_state_value,
                           Stream stream) {
  const int64_t count = rows * n_agents;
  if (count == 0) return;
  powqmix_head_backward_kernel<<<blocks_for(count), kBlock, 0, on(stream)>>>(
      count, n_agents, q_taken, q_max, filled, d_q_r, d_scales, d_state_value);
  check_launch("powqmix_head backward");
}

void td_lambda_target(BatchShape shape, float td_lambda, const float* next_value, const float* reward,
                      const float* discount, const uint8_t* filled, float* target, Stream stream) {
  if (shape.rows() == 0) return;
  td_lambda_target_kernel<<<blocks_for(shape.episodes * kWarp), kBlock, 0, on(stream)>>>(
      shape.episodes, static_cast<int>(shape.steps), td_lambda, next_value, reward, discount, filled, target);
  check_launch("td_lambda_target");
}

void monotonic_mix(int64_t rows, int n_agents, int embed, const float* q, const float* w1, const float* b1,
                   const float* w2, const float* b2, float* q_tot, Stream stream) {
  if (rows == 0) return;
  const int lanes = lanes_for(embed);
  monotonic_mix_kernel<<<blocks_for(rows * lanes), kBlock, 0, on(stream)>>>(rows, n_agents, embed, lanes, q,
                                                                            w1, b1, w2, b2, q_tot);
  check_launch("monotonic_mix");
}

void monotonic_mix_backward(int64_t rows, int n_agents, int embed, const float* q, const float* w1,
                            const float* b1, const float* w2, const float* d_q_tot, float* d_q, float* d_w1,
                            float* d_b1, float* d_w2, Stream stream) {
  if (rows == 0) return;
  const int lanes = lanes_for(embed);
  monotonic_mix_backward_kernel<<<blocks_for(rows * lanes), kBlock, 0, on(stream)>>>(
      rows, n_agents, embed, lanes, q, w1, b1, w2, d_q_tot, d_q, d_w1, d_b1, d_w2);
  check_launch("monotonic_mix backward");
}

void weighted_loss(int64_t rows, const float* value, const float* target, const float* share,
                   const float* weight, float* loss, float* gradient, Stream stream) {
  weighted_loss_kernel<<<1, kLossBlock, 0, on(stream)>>>(rows, value, target, share, weight, loss, gradient);
  check_launch("weighted_loss");
}

}  // namespace cuda
}  // namespace powqmix
