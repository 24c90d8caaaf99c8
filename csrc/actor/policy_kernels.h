// The recurrent agent's forward step as kernels, one table an instruction set, chosen at run time.
//
// Parameters are packed once a version so that SIMD lanes run over output units: every sum over inputs is
// then taken in the same order for every row, and what a row computes does not depend on how many rows stand
// beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "actor/aligned.h"

namespace powqmix {

// How an agent turns its outputs into an action, with probability 1 - epsilon; else it is any legal one.
enum class ActionSelection {
  kEpsilonGreedy,  // the largest of the legal outputs, which are values
  kSoftmax,        // drawn from the softmax over the legal outputs, which are logits
};

// Shape of the agent, and how it acts; the same fields as powqmix.types.PolicySpec.
struct PolicyShape {
  int n_agents = 0;
  int n_actions = 0;
  int obs_size = 0;
  int hidden_size = 0;
  bool use_last_action = true;
  bool use_agent_id = true;
  ActionSelection action_selection = ActionSelection::kEpsilonGreedy;

  int input_size() const {
    return obs_size + (use_last_action ? n_actions : 0) + (use_agent_id ? n_agents : 0);
  }
  // Length of the flat vector in the order of PolicySpec.parameter_shapes().
  int64_t parameter_count() const {
    const int64_t h = hidden_size;
    return h * input_size() + h + 2 * (3 * h * h) + 2 * (3 * h) + n_actions * h + n_actions;
  }
};

// One version of the parameters, laid out for `lanes`-wide kernels. H and A are padded with zeros to whole
// vectors.
struct PackedParameters {
  PackedParameters(const PolicyShape& shape, int lanes, const float* flat, int64_t version);

  PolicyShape shape;
  int lanes;
  int64_t version;
  int hidden_padded;             // Hp
  int actions_padded;            // Ap
  AlignedVector<float> in_obs;   // [O, Hp] fc_in's columns of the observation
  AlignedVector<float> in_last;  // [1 + A, Hp] its columns of the last action; row 0 (no action yet) is zero
  AlignedVector<float> in_id;    // [N, Hp] its columns of the agent id, bias added
  // W_ih, as [3 Hp / gate_group] groups of [H, gate_group]: a unit block's gates r, z, n side by side.
  AlignedVector<float> gate_weights;
  int gate_group;    // outputs of a group, in vectors; the last group may be smaller
  bool gate_lookup;  // zero inputs are skipped: pays where a group's weights stay in the first cache
  AlignedVector<float> gate_bias;          // [Hp / lanes, 3, lanes] b_ih, for r and z with b_hh
  AlignedVector<float> recurrent_weights;  // [Hp / lanes, H, 3, lanes] W_hh
  AlignedVector<float> recurrent_bias;     // [Hp] b_hh of n
  AlignedVector<float> out;                // [H, Ap]
  AlignedVector<float> out_bias;           // [Ap]
};

// Rows to evaluate, and where their inputs and outputs are. A row is one agent of one environment.
struct PolicyRows {
  const int32_t* rows;  // [count] indices into the arrays below
  int count;
  const float* obs;             // [R, O]
  const int32_t* last_actions;  // [R], -1 at an episode's start
  float* hidden;                // [R, Hp], updated
  float* q;                     // [R, Ap], written
};

// Rows that share one pass over the weights: few enough that what is known of them stays in the first caches.
constexpr int kChunkRows = 32;

// What a chunk needs between its layers.
struct PolicyScratch {
  PolicyScratch(const PolicyShape& shape, int hidden_padded, int actions_padded);
  AlignedVector<float> memory;
  float *x, *h, *next;  // [kChunkRows, Hp]
  float* gates;         // [kChunkRows, 3 Hp]
  float* q;             // [kChunkRows, Ap]
  AlignedVector<uint64_t> word_memory;
  uint64_t* words;  // bits of inputs that differ from zero: [kChunkRows, ceil(max(H, O) / 64)]
};

struct PolicyKernels {
  const char* name;
  int lanes;
  void (*forward)(const PackedParameters&, const PolicyRows&, const PolicyScratch&);
  // float32 -> IEEE half, round to nearest even.
  void (*to_half)(const float* from, uint16_t* to, size_t count);
};

// "auto" (the best this machine has), "baseline", "avx2" or "avx512".
// Throws std::invalid_argument naming the known ones if `name` is none of them or this machine lacks it.
const PolicyKernels& policy_kernels(const std::string& name);
std::vector<std::string> available_policy_kernels();

// Each is defined in policy_kernels_<isa>.cpp; off x86-64 the last two are never chosen.
namespace baseline {
extern const PolicyKernels kPolicyKernels;
}
namespace avx2 {
extern const PolicyKernels kPolicyKernels;
}
namespace avx512 {
extern const PolicyKernels kPolicyKernels;
}

}  // namespace powqmix
