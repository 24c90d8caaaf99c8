// Packing of the parameters, and the choice of an instruction set.
#include "actor/policy_kernels.h"

#include <algorithm>
#include <stdexcept>

namespace powqmix {

namespace {

int padded(int size, int lanes) { return (size + lanes - 1) / lanes * lanes; }

constexpr float kLog2E = 1.44269504088896341f;
constexpr int kLookupGroup = 12;        // sums that fit in 16 registers beside the input and what is loaded
constexpr size_t kLookupBytes = 24576;  // of a first cache of 32 KiB

bool runs_here(const PolicyKernels& kernels) {
  if (&kernels == &baseline::kPolicyKernels) return true;
#if defined(__x86_64__)
  // Every processor with AVX2 and FMA also converts halves (F16C).
  if (&kernels == &avx2::kPolicyKernels)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (&kernels == &avx512::kPolicyKernels) return __builtin_cpu_supports("avx512f");
#endif
  return false;
}

const PolicyKernels* const kByPreference[] = {&avx512::kPolicyKernels, &avx2::kPolicyKernels,
                                              &baseline::kPolicyKernels};

}  // namespace

PackedParameters::PackedParameters(const PolicyShape& shape, int lanes, const float* flat, int64_t version)
    : shape(shape),
      lanes(lanes),
      version(version),
      hidden_padded(padded(shape.hidden_size, lanes)),
      actions_padded(padded(shape.n_actions, lanes)),
      gate_group(kLookupGroup),
      gate_lookup(sizeof(float) * kLookupGroup * lanes * shape.hidden_size <= kLookupBytes) {
  if (!gate_lookup) gate_group = 3;
  const size_t H = shape.hidden_size, A = shape.n_actions, O = shape.obs_size, N = shape.n_agents;
  const size_t I = shape.input_size(), Hp = hidden_padded, Ap = actions_padded, W = lanes;
  // The order of PolicySpec.parameter_shapes().
  const float* in_weight = flat;
  const float* in_bias = in_weight + H * I;
  const float* weight_ih = in_bias + H;
  const float* weight_hh = weight_ih + 3 * H * H;
  const float* bias_ih = weight_hh + 3 * H * H;
  const float* bias_hh = bias_ih + 3 * H;
  const float* out_weight = bias_hh + 3 * H;
  const float* bias_out = out_weight + A * H;

  in_obs.assign(O * Hp, 0.0f);
  in_last.assign((1 + A) * Hp, 0.0f);
  in_id.assign(N * Hp, 0.0f);
  for (size_t unit = 0; unit < H; ++unit) {
    const float* row = in_weight + unit * I;
    for (size_t k = 0; k < O; ++k) in_obs[k * Hp + unit] = *row++;
    if (shape.use_last_action) {
      for (size_t a = 0; a < A; ++a) in_last[(1 + a) * Hp + unit] = *row++;
    }
    for (size_t agent = 0; agent < N; ++agent) {
      in_id[agent * Hp + unit] = in_bias[unit] + (shape.use_agent_id ? *row++ : 0.0f);
    }
  }
  gate_weights.assign(3 * Hp * H, 0.0f);
  gate_bias.assign(3 * Hp, 0.0f);
  recurrent_weights.assign(3 * Hp * H, 0.0f);
  recurrent_bias.assign(Hp, 0.0f);
  const size_t vecs = 3 * Hp / W;
  for (size_t unit = 0; unit < H; ++unit) {
    const size_t block = unit / W, lane = unit % W;
    for (size_t gate = 0; gate < 3; ++gate) {
      const float scale = gate < 2 ? -kLog2E : -2.0f * kLog2E;
      const size_t row = gate * H + unit, vec = 3 * block + gate;
      const size_t first = vec / gate_group * gate_group;  // the group's first vector
      const size_t width = std::min<size_t>(gate_group, vecs - first) * W;
      float* gate_to = gate_weights.data() + first * W * H + (vec - first) * W + lane;
      float* recurrent_to = recurrent_weights.data() + (block * H * 3 + gate) * W + lane;
      for (size_t k = 0; k < H; ++k) {
        gate_to[k * width] = scale * weight_ih[row * H + k];
        recurrent_to[k * 3 * W] = scale * weight_hh[row * H + k];
      }
      gate_bias[vec * W + lane] = scale * (bias_ih[row] + (gate < 2 ? bias_hh[row] : 0.0f));
      if (gate == 2) recurrent_bias[unit] = scale * bias_hh[row];
    }
  }
  out.assign(H * Ap, 0.0f);
  out_bias.assign(Ap, 0.0f);
  for (size_t a = 0; a < A; ++a) {
    for (size_t k = 0; k < H; ++k) out[k * Ap + a] = out_weight[a * H + k];
    out_bias[a] = bias_out[a];
  }
}

PolicyScratch::PolicyScratch(const PolicyShape& shape, int hidden_padded, int actions_padded)
    : memory(static_cast<size_t>(kChunkRows) * (6 * hidden_padded + actions_padded)),
      x(memory.data()),
      h(x + kChunkRows * hidden_padded),
      next(h + kChunkRows * hidden_padded),
      gates(next + kChunkRows * hidden_padded),
      q(gates + kChunkRows * 3 * hidden_padded),
      word_memory(static_cast<size_t>(kChunkRows) *
                  ((std::max(shape.hidden_size, shape.obs_size) + 63) / 64)),
      words(word_memory.data()) {}

std::vector<std::string> available_policy_kernels() {
  std::vector<std::string> names;
  for (const PolicyKernels* kernels : kByPreference) {
    if (runs_here(*kernels)) names.emplace_back(kernels->name);
  }
  return names;
}

const PolicyKernels& policy_kernels(const std::string& name) {
  std::string known;
  for (const PolicyKernels* kernels : kByPreference) {
    if (!runs_here(*kernels)) continue;
    if (name == "auto" || name == kernels->name) return *kernels;
    known += std::string(" ") + kernels->name;
  }
  throw std::invalid_argument("no policy kernels '" + name + "' on this machine; known: auto" + known);
}

}  // namespace powqmix
