// The TD(lambda) targets, the head and the losses on CUDA: a block has one episode.
//
// A step of the target is an affine map, y_t = offset + slope y_{t+1}. Each thread composes those of its
// chunk of steps, a scan combines the threads of a warp, then the warps, and a second pass writes. Chunks are
// cut from the filled steps alone, and every sum runs in an order that the number of padded steps does not
// enter.
#include "cuda/device.h"

namespace powqmix {
namespace cuda {

namespace {

constexpr int kWarps = kBlock / kWarp;
constexpr int kTile = 4096;  // elements [steps, N] that a block holds at a time

struct ScanSpace {
  int last[kWarps];
  float slope[kWarps], offset[kWarps];
};

// The last filled step of the block's episode; -1 where none is.
__device__ int last_filled(const uint8_t* filled, int steps, ScanSpace& space) {
  int last = -1;
  for (int t = threadIdx.x; t < steps; t += kBlock) last = filled[t] ? t : last;
  for (int offset = kWarp / 2; offset > 0; offset /= 2) last = max(last, __shfl_xor_sync(kAll, last, offset));
  if (threadIdx.x % kWarp == 0) space.last[threadIdx.x / kWarp] = last;
  __syncthreads();
  for (int warp = 0; warp < kWarps; ++warp) last = max(last, space.last[warp]);
  return last;
}

// The targets of the block's episode, by all its threads. Pointers are at the episode's first step.
__device__ void targets_of_episode(int steps, float td_lambda, const float* next_value, const float* reward,
                                   const float* discount, const uint8_t* filled, float* target,
                                   ScanSpace& space) {
  const int thread = threadIdx.x, lane = thread % kWarp, warp = thread / kWarp;
  const int last = last_filled(filled, steps, space);
  for (int t = last + 1 + thread; t < steps; t += kBlock) target[t] = 0.0f;
  const int chunk = (last + kBlock) / kBlock;
  const int begin = min(thread * chunk, last + 1), end = min(begin + chunk, last + 1);
  float slope = 1.0f, offset = 0.0f;  // y_begin = offset + slope y_end
  for (int t = end - 1; t >= begin; --t) {
    const float own = filled[t] ? discount[t] : 0.0f;
    const float next = t == last ? next_value[t] : (1.0f - td_lambda) * next_value[t];
    const float step_slope = t == last ? 0.0f : own * td_lambda;
    offset = (filled[t] ? reward[t] + own * next : 0.0f) + step_slope * offset;
    slope = step_slope * slope;
  }
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const float later_slope = __shfl_down_sync(kAll, slope, distance);
    const float later_offset = __shfl_down_sync(kAll, offset, distance);
    if (lane + distance < kWarp) {
      offset += slope * later_offset;
      slope *= later_slope;
    }
  }
  if (lane == 0) {
    space.slope[warp] = slope;
    space.offset[warp] = offset;
  }
  __syncthreads();
  float after = 0.0f;  // y behind the last step of this warp
  for (int other = kWarps - 1; other > warp; --other)
    after = space.offset[other] + space.slope[other] * after;
  const float next_slope = __shfl_down_sync(kAll, slope, 1), next_offset = __shfl_down_sync(kAll, offset, 1);
  float later = lane == kWarp - 1 ? after : next_offset + next_slope * after;
  for (int t = end - 1; t >= begin; --t) {
    later =
        filled[t] ? td_lambda_step(reward[t], discount[t], next_value[t], later, td_lambda, t == last) : 0.0f;
    target[t] = later;
  }
}

// The parts scales_i A_i of `count` elements from `first` on, into shared memory; followed by a barrier.
__device__ void advantages_into(float* tile, const HeadInputs& in, int64_t first, int count) {
  const float *scales = in.scales + first, *taken = in.q_taken + first, *best = in.q_max + first;
  const int packs = aligned(scales) && aligned(taken) && aligned(best) ? count / 4 : 0;
  for (int i = 4 * threadIdx.x; i < 4 * packs; i += 4 * kBlock) {
    const Pack<4> scale = load<4>(scales + i), q = load<4>(taken + i), top = load<4>(best + i);
    Pack<4> part;
    for (int j = 0; j < 4; ++j) part.x[j] = scale.x[j] * (q.x[j] - top.x[j]);
    store(tile + i, part);
  }
  for (int i = 4 * packs + threadIdx.x; i < count; i += kBlock) tile[i] = scales[i] * (taken[i] - best[i]);
  __syncthreads();
}

__device__ float sum_in_order(const float* x, int count) {
  float sum = 0.0f;
  for (int i = 0; i < count; ++i) sum += x[i];
  return sum;
}

__global__ void powqmix_head_kernel(int steps, int n_agents, HeadConstants constants, HeadInputs in,
                                    float* __restrict__ q_r, float* __restrict__ joint_weight,
                                    float* __restrict__ target) {
  __shared__ ScanSpace space;
  alignas(16) __shared__ float tile[kTile];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * steps;
  targets_of_episode(steps, constants.td_lambda, in.next_value + first, in.reward + first,
                     in.discount + first, in.filled + first, target + first, space);
  const int tile_steps = kTile / max(n_agents, 1);
  for (int begin = 0; begin < steps; begin += tile_steps) {
    const int count = min(tile_steps, steps - begin);
    advantages_into(tile, in, (first + begin) * n_agents, count * n_agents);
    for (int t = threadIdx.x; t < count; t += kBlock) {
      const int64_t row = first + begin + t;
      const float advantage = sum_in_order(tile + t * n_agents, n_agents);
      const bool filled = in.filled[row];
      q_r[row] = filled ? in.state_value[row] + advantage : 0.0f;
      joint_weight[row] = filled ? joint_weight_of(constants, advantage) : 0.0f;
    }
    __syncthreads();
  }
}

__global__ void powqmix_loss_kernel(int steps, int n_agents, HeadConstants constants, HeadInputs in,
                                    LossTensors loss) {
  __shared__ ScanSpace space;
  alignas(16) __shared__ float tile[kTile];
  __shared__ double sums_of_warps[kWarps][kLossSums];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * steps;
  targets_of_episode(steps, constants.td_lambda, in.next_value + first, in.reward + first,
                     in.discount + first, in.filled + first, loss.target + first, space);
  double sums[kLossSums] = {};
  const int tile_steps = kTile / max(n_agents, 1);
  for (int begin = 0; begin < steps; begin += tile_steps) {
    const int count = min(tile_steps, steps - begin);
    const int64_t element = (first + begin) * n_agents;
    advantages_into(tile, in, element, count * n_agents);  // its barrier also ends the writing of the targets
    for (int t = threadIdx.x; t < count; t += kBlock) {
      const int64_t row = first + begin + t;
      LossStep step = {};
      if (in.filled[row] && loss.share[row] != 0.0f) {
        const float target = loss.target[row];
        step = loss_step(constants, loss.share[row], sum_in_order(tile + t * n_agents, n_agents),
                         in.state_value[row], loss.q_tot[row],
                         loss.q_star != nullptr ? loss.q_star[row] : target, target);
        for (int k = 0; k < kLossSums; ++k) sums[k] += step.sums[k];
      }
      loss.d_q_tot[row] = step.d_q_tot;
      if (loss.q_star != nullptr) loss.d_q_star[row] = step.d_q_star;
      if (loss.d_scales != nullptr) loss.d_state_value[row] = step.d_q_r;
      tile[t * n_agents] = step.d_q_r;  // the row's advantages have been read
    }
    __syncthreads();
    if (loss.d_scales != nullptr) {
      for (int i = threadIdx.x; i < count * n_agents; i += kBlock) {
        const float d = tile[i / n_agents * n_agents];
        loss.d_scales[element + i] = d != 0.0f ? d * (in.q_taken[element + i] - in.q_max[element + i]) : 0.0f;
      }
    }
    __syncthreads();
  }
  for (int k = 0; k < kLossSums; ++k) {
    for (int offset = kWarp / 2; offset > 0; offset /= 2) sums[k] += __shfl_xor_sync(kAll, sums[k], offset);
    if (threadIdx.x % kWarp == 0) sums_of_warps[threadIdx.x / kWarp][k] = sums[k];
  }
  __syncthreads();
  if (threadIdx.x < kLossSums) {
    double sum = 0.0;
    for (int warp = 0; warp < kWarps; ++warp) sum += sums_of_warps[warp][threadIdx.x];
    loss.sums_of_episodes[static_cast<int64_t>(blockIdx.x) * kLossSums + threadIdx.x] = sum;
  }
}

// One warp for each of the sums: lanes take episodes in turn, then add up as a tree.
__global__ void sum_episodes_kernel(int64_t episodes, const double* __restrict__ of_episodes,
                                    float* __restrict__ sums) {
  const int of = threadIdx.x / kWarp;
  double sum = 0.0;
  for (int64_t e = threadIdx.x % kWarp; e < episodes; e += kWarp) sum += of_episodes[e * kLossSums + of];
  for (int offset = kWarp / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(kAll, sum, offset);
  if (threadIdx.x % kWarp == 0) sums[of] = static_cast<float>(sum);
}

__global__ void td_lambda_target_kernel(int steps, float td_lambda, const float* __restrict__ next_value,
                                        const float* __restrict__ reward, const float* __restrict__ discount,
                                        const uint8_t* __restrict__ filled, float* __restrict__ target) {
  __shared__ ScanSpace space;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * steps;
  targets_of_episode(steps, td_lambda, next_value + first, reward + first, discount + first, filled + first,
                     target + first, space);
}

// A block has kBlock rows, whose elements are neighbours in memory: packs of kPack where they are aligned.
template <int kPack>
__global__ void powqmix_head_backward_kernel(int64_t rows, int n_agents, const float* __restrict__ q_taken,
                                             const float* __restrict__ q_max,
                                             const uint8_t* __restrict__ filled,
                                             const float* __restrict__ d_q_r, float* __restrict__ d_scales,
                                             float* __restrict__ d_state_value) {
  __shared__ float slope[kBlock];
  __shared__ bool counts[kBlock];
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kBlock, row = first + threadIdx.x;
  if (row < rows) {
    counts[threadIdx.x] = filled[row];
    slope[threadIdx.x] = filled[row] ? d_q_r[row] : 0.0f;
    d_state_value[row] = slope[threadIdx.x];
  }
  __syncthreads();
  const int count = static_cast<int>(min(static_cast<int64_t>(kBlock), rows - first)) * n_agents;
  const int64_t element = first * n_agents;
  const auto gradient = [&](int i, float taken, float best) {
    const int at = i / n_agents;
    return counts[at] ? slope[at] * (taken - best) : 0.0f;
  };
  const int packs = count / kPack;
  for (int pack = threadIdx.x; pack < packs; pack += kBlock) {
    const int i = pack * kPack;
    const Pack<kPack> taken = load<kPack>(q_taken + element + i), best = load<kPack>(q_max + element + i);
    Pack<kPack> d;
    for (int j = 0; j < kPack; ++j) d.x[j] = gradient(i + j, taken.x[j], best.x[j]);
    store(d_scales + element + i, d);
  }
  for (int i = packs * kPack + threadIdx.x; i < count; i += kBlock) {
    d_scales[element + i] = gradient(i, q_taken[element + i], q_max[element + i]);
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
    if (static_cast<int>(threadIdx.x) < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  if (threadIdx.x == 0) *loss = static_cast<float>(sums[0]);
}

void check_agents(int n_agents) {
  if (n_agents > kTile) {
    throw std::runtime_error("powqmix: the head on CUDA takes at most " + std::to_string(kTile) +
                             " agents, got " + std::to_string(n_agents) + "; use --device cpu");
  }
}

}  // namespace

void powqmix_head(BatchShape shape, int n_agents, HeadConstants constants, const HeadInputs& in, float* q_r,
                  float* joint_weight, float* target, Runner runner) {
  if (shape.rows() == 0) return;
  check_agents(n_agents);
  launch("powqmix_head", powqmix_head_kernel, static_cast<unsigned>(shape.episodes), kBlock, 0, runner,
         static_cast<int>(shape.steps), n_agents, constants, in, q_r, joint_weight, target);
}

void powqmix_loss(BatchShape shape, int n_agents, HeadConstants constants, const HeadInputs& in,
                  const LossTensors& loss, Runner runner) {
  check_agents(n_agents);
  if (shape.rows() > 0) {
    launch("powqmix_loss", powqmix_loss_kernel, static_cast<unsigned>(shape.episodes), kBlock, 0, runner,
           static_cast<int>(shape.steps), n_agents, constants, in, loss);
  }
  launch("powqmix_loss sums", sum_episodes_kernel, 1, kWarp * kLossSums, 0, runner,
         shape.rows() > 0 ? shape.episodes : 0, loss.sums_of_episodes, loss.sums);
}

void powqmix_head_backward(int64_t rows, int n_agents, const float* q_taken, const float* q_max,
                           const uint8_t* filled, const float* d_q_r, float* d_scales, float* d_state_value,
                           Runner runner) {
  if (rows == 0) return;
  const bool packs = aligned(q_taken) && aligned(q_max) && aligned(d_scales);
  const auto kernel = packs ? powqmix_head_backward_kernel<4> : powqmix_head_backward_kernel<1>;
  launch("powqmix_head backward", kernel, blocks_for(rows, kBlock), kBlock, 0, runner, rows, n_agents,
         q_taken, q_max, filled, d_q_r, d_scales, d_state_value);
}

void td_lambda_target(BatchShape shape, float td_lambda, const float* next_value, const float* reward,
                      const float* discount, const uint8_t* filled, float* target, Runner runner) {
  if (shape.rows() == 0) return;
  launch("td_lambda_target", td_lambda_target_kernel, static_cast<unsigned>(shape.episodes), kBlock, 0,
         runner, static_cast<int>(shape.steps), td_lambda, next_value, reward, discount, filled, target);
}

void weighted_loss(int64_t rows, const float* value, const float* target, const float* share,
                   const float* weight, float* loss, float* gradient, Runner runner) {
  launch("weighted_loss", weighted_loss_kernel, 1, kLossBlock, 0, runner, rows, value, target, share, weight,
         loss, gradient);
}

}  // namespace cuda
}  // namespace powqmix
