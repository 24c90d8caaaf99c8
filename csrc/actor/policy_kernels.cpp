// Packing of the parameters, and the choice of an instruction set.
#include "actor/policy_kernels.h"

#include <stdexcept>

namespace powqmix {

namespace {

int padded(int size, int lanes) { return (size + lanes - 1) / lanes * lanes; }

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
      actions_padded(padded(shape.n_actions, lanes)) {
  const size_t H = shape.hidden_size, A = shape.n_actions, O = shape.obs_size, N = shape.n_agents;
  const size_t I = shape.input_size(), Hp = hidden_padded, Ap = actions_padded, W = lanes;
  // The order of PolicySpec.parameter_shapes().
  const float* in_weight = flat;
  const float* in_bias = in_weight + H * I;
  const float* weights[2] = {in_bias + H, in_bias + H + 3 * H * H};
  const float* bias_ih = weights[1] + 3 * H * H;
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
  gru.assign(Hp * 2 * H * 3, 0.0f);
  gru_bias.assign(Hp * 4, 0.0f);
  for (size_t unit = 0; unit < H; ++unit) {
    const size_t block = unit / W, lane = unit % W;
    for (size_t source = 0; source < 2; ++source) {
      for (size_t gate = 0; gate < 3; ++gate) {
        const float* row = weights[source] + (gate * H + unit) * H;
        float* to = gru.data() + ((block * 2 + source) * H * 3 + gate) * W + lane;
        for (size_t k = 0; k < H; ++k) to[k * 3 * W] = row[k];
      }
    }
    float* bias = gru_bias.data() + block * 4 * W + lane;
    bias[0] = bias_ih[unit] + bias_hh[unit];
    bias[W] = bias_ih[H + unit] + bias_hh[H + unit];
    bias[2 * W] = bias_ih[2 * H + unit];
    bias[3 * W] = bias_hh[2 * H + unit];
  }
  out.assign(H * Ap, 0.0f);
  out_bias.assign(Ap, 0.0f);
  for (size_t a = 0; a < A; ++a) {
    for (size_t k = 0; k < H; ++k) out[k * Ap + a] = out_weight[a * H + k];
    out_bias[a] = bias_out[a];
  }
}

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
