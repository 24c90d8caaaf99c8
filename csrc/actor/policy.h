// Policy: the recurrent agents of E environments, their memory, and their choice among legal actions: the
// best one, or one drawn from their softmax, and with probability epsilon any.
//
// An episode is played from its first step to its last with the parameters and the epsilon that were newest
// when it began. Environments end at different times, so several versions can be in use at once; each is kept
// while an episode needs it. Random numbers are keyed by (seed, env index, episode, step, agent) and each row
// is computed by itself, so what an environment's agents do depends neither on the number of environments nor
// on the others.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actor/policy_kernels.h"

namespace powqmix {

class Policy {
 public:
  // first_env: index of environment 0 in the run's numbering; isa: see policy_kernels().
  // Throws std::invalid_argument on a size below 1 or an unknown instruction set.
  Policy(const PolicyShape& shape, int num_envs, uint64_t seed, uint64_t first_env, const std::string& isa);

  const PolicyShape& shape() const { return shape_; }
  int num_envs() const { return num_envs_; }
  const PolicyKernels& kernels() const { return kernels_; }

  // The parameters of episodes that begin from now on; flat: [shape().parameter_count()].
  void set_parameters(const float* flat, int64_t version);
  // Newest version set, -1 before the first.
  int64_t version() const { return newest_ ? newest_->version : -1; }

  // Starts an episode in environment e: memory cleared, newest parameters, this epsilon.
  // Throws std::logic_error before the first set_parameters.
  void begin(int e, float epsilon);
  // One step of the `count` environments listed in `envs`, each of which has begun an episode.
  // obs: [E, N, O], avail: u8 [E, N, A], actions: [E, N]; only rows of listed environments are read and
  // written. Throws std::invalid_argument naming env and agent where no action is legal.
  void act(const int* envs, int count, const float* obs, const uint8_t* avail, int32_t* actions);

  // Q_i of environment e's last step: [N, q_stride()], the first A of each row are values.
  const float* q(int e) const { return &q_[static_cast<size_t>(e) * shape_.n_agents * q_stride_]; }
  int q_stride() const { return q_stride_; }
  int64_t version_of(int e) const { return running_[e].parameters ? running_[e].parameters->version : -1; }
  float epsilon_of(int e) const { return running_[e].epsilon; }

 private:
  struct Running {  // one environment's episode
    std::shared_ptr<const PackedParameters> parameters;
    float epsilon = 0.0f;
    uint64_t episode = 0;  // episodes begun in this environment, this one included
    uint64_t step = 0;
  };
  void evaluate(const int* envs, int count, const float* obs);
  void choose(int e, const uint8_t* avail, int32_t* actions);
  // Of one agent that does not explore; -1 if none is legal.
  int preferred(uint64_t key, const Running& running, int agent, const float* outputs,
                const uint8_t* legal) const;

  PolicyShape shape_;
  int num_envs_;
  uint64_t seed_;
  uint64_t first_env_;
  const PolicyKernels& kernels_;
  int hidden_stride_;
  int q_stride_;
  std::shared_ptr<const PackedParameters> newest_;
  std::vector<Running> running_;       // [E]
  AlignedVector<float> hidden_;        // [E, N, Hp]
  AlignedVector<float> q_;             // [E, N, Ap]
  std::vector<int32_t> last_actions_;  // [E, N], -1 at an episode's start
  PolicyScratch scratch_;
  std::vector<int32_t> rows_;
  std::vector<uint8_t> evaluated_;  // [E]
};

}  // namespace powqmix
