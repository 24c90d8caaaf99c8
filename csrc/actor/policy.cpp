#include "actor/policy.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "powqmix/random.h"

namespace powqmix {

namespace {

const PolicyShape& checked(const PolicyShape& shape, int num_envs) {
  const std::pair<const char*, int> sizes[] = {{"n_agents", shape.n_agents},
                                               {"n_actions", shape.n_actions},
                                               {"obs_size", shape.obs_size},
                                               {"hidden_size", shape.hidden_size},
                                               {"num_envs", num_envs}};
  for (const auto& [name, value] : sizes) {
    if (value < 1) {
      throw std::invalid_argument(std::string(name) + " must be at least 1, got " + std::to_string(value));
    }
  }
  return shape;
}

int padded(int size, int lanes) { return (size + lanes - 1) / lanes * lanes; }

// Lowest index among the legal actions of largest value; -1 if none is legal. A NaN is never larger.
int greedy_action(const float* q, const uint8_t* avail, int n_actions) {
  int best = -1;
  for (int a = 0; a < n_actions; ++a) {
    if (avail[a] && (best < 0 || q[a] > q[best])) best = a;
  }
  return best;
}

// An action drawn from the softmax over the legal logits: the largest of logit + Gumbel noise (Gumbel-max).
// -1 if none is legal. `counter` is that of the first block of random numbers; a block serves four actions.
int drawn_action(const float* logits, const uint8_t* avail, int n_actions, uint64_t key, uint64_t episode,
                 uint64_t counter) {
  int best = -1;
  double largest = 0.0;
  Philox4 block{};
  for (int a = 0; a < n_actions; ++a) {
    if (a % 4 == 0) block = philox4x32(key, episode, counter + a / 4);
    if (!avail[a]) continue;
    const double uniform = (block.word[a % 4] + 0.5) * (1.0 / 4294967296.0);  // neither 0 nor 1
    const double value = logits[a] - std::log(-std::log(uniform));
    if (best < 0 || value > largest) {
      best = a;
      largest = value;
    }
  }
  return best;
}

// The legal action at `share` (of 2^32) of the legal ones in order; -1 if none is legal.
int random_action(uint32_t share, const uint8_t* avail, int n_actions) {
  uint32_t legal = 0;
  for (int a = 0; a < n_actions; ++a) legal += avail[a] != 0;
  uint32_t left = static_cast<uint32_t>(static_cast<uint64_t>(share) * legal >> 32);
  for (int a = 0; a < n_actions; ++a) {
    if (avail[a] && left-- == 0) return a;
  }
  return -1;
}

}  // namespace

Policy::Policy(const PolicyShape& shape, int num_envs, uint64_t seed, uint64_t first_env,
               const std::string& isa)
    : shape_(checked(shape, num_envs)),
      num_envs_(num_envs),
      seed_(seed),
      first_env_(first_env),
      kernels_(policy_kernels(isa)),
      hidden_stride_(padded(shape.hidden_size, kernels_.lanes)),
      q_stride_(padded(shape.n_actions, kernels_.lanes)),
      running_(num_envs),
      scratch_(shape, hidden_stride_, q_stride_),
      evaluated_(num_envs) {
  const size_t rows = static_cast<size_t>(num_envs) * shape.n_agents;
  hidden_.assign(rows * hidden_stride_, 0.0f);
  q_.assign(rows * q_stride_, 0.0f);
  last_actions_.assign(rows, -1);
  rows_.reserve(rows);
}

void Policy::set_parameters(const float* flat, int64_t version) {
  newest_ = std::make_shared<const PackedParameters>(shape_, kernels_.lanes, flat, version);
}

void Policy::begin(int e, float epsilon) {
  if (!newest_) throw std::logic_error("the policy has no parameters yet; call set_parameters first");
  Running& running = running_.at(e);
  running.parameters = newest_;
  running.epsilon = epsilon;
  running.step = 0;
  ++running.episode;
  const size_t first = static_cast<size_t>(e) * shape_.n_agents;
  std::fill_n(hidden_.begin() + first * hidden_stride_, static_cast<size_t>(shape_.n_agents) * hidden_stride_,
              0.0f);
  std::fill_n(last_actions_.begin() + first, shape_.n_agents, -1);
}

void Policy::evaluate(const int* envs, int count, const float* obs) {
  // One kernel call for each version in use: nearly always one.
  for (int i = 0; i < count; ++i) evaluated_[envs[i]] = 0;
  for (int i = 0; i < count; ++i) {
    if (evaluated_[envs[i]]) continue;
    const PackedParameters* parameters = running_[envs[i]].parameters.get();
    rows_.clear();
    for (int j = i; j < count; ++j) {
      if (running_[envs[j]].parameters.get() != parameters) continue;
      evaluated_[envs[j]] = 1;
      for (int agent = 0; agent < shape_.n_agents; ++agent)
        rows_.push_back(envs[j] * shape_.n_agents + agent);
    }
    kernels_.forward(
        *parameters,
        {rows_.data(), static_cast<int>(rows_.size()), obs, last_actions_.data(), hidden_.data(), q_.data()},
        scratch_);
  }
}

int Policy::preferred(uint64_t key, const Running& running, int agent, const float* outputs,
                      const uint8_t* legal) const {
  if (shape_.action_selection == ActionSelection::kEpsilonGreedy)
    return greedy_action(outputs, legal, shape_.n_actions);
  // The highest bit sets these counters apart from those of exploration.
  const uint64_t counter = uint64_t{1} << 63 | running.step << 32 | static_cast<uint64_t>(agent) << 16;
  return drawn_action(outputs, legal, shape_.n_actions, key, running.episode, counter);
}

void Policy::choose(int e, const uint8_t* avail, int32_t* actions) {
  Running& running = running_[e];
  const int A = shape_.n_actions;
  const uint64_t key = mix_key(seed_, first_env_ + e);
  const float* values = q(e);
  Philox4 block{};
  for (int agent = 0; agent < shape_.n_agents; ++agent) {
    const uint8_t* legal = avail + static_cast<size_t>(agent) * A;
    bool explore = false;
    uint32_t share = 0;
    if (running.epsilon > 0.0f) {
      // A block holds the numbers of two agents: whether to explore, and where.
      if (agent % 2 == 0) block = philox4x32(key, running.episode, running.step << 16 | agent / 2);
      explore = static_cast<float>(block.word[agent % 2 * 2] >> 8) * (1.0f / 16777216.0f) < running.epsilon;
      share = block.word[agent % 2 * 2 + 1];
    }
    const int action = explore ? random_action(share, legal, A)
                               : preferred(key, running, agent, values + agent * q_stride_, legal);
    if (action < 0) {
      throw std::invalid_argument("env " + std::to_string(e) + ", agent " + std::to_string(agent) +
                                  ": avail_actions has no legal action at step " +
                                  std::to_string(running.step));
    }
    actions[agent] = action;
  }
  std::copy_n(actions, shape_.n_agents, last_actions_.begin() + static_cast<size_t>(e) * shape_.n_agents);
  ++running.step;
}

void Policy::act(const int* envs, int count, const float* obs, const uint8_t* avail, int32_t* actions) {
  evaluate(envs, count, obs);
  const size_t agents = shape_.n_agents;
  for (int i = 0; i < count; ++i) {
    choose(envs[i], avail + envs[i] * agents * shape_.n_actions, actions + envs[i] * agents);
  }
}

}  // namespace powqmix
