// BatchedEnv: what every native environment is. It owns the buffers, checks actions, resets ended episodes,
// splits threads.
//
// A game derives from it and says three things for one environment e: how an episode starts, what a step
// does, and what is seen. Everything about batches, auto-reset, final_* arrays and random streams is here,
// once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "powqmix/random.h"
#include "powqmix/thread_pool.h"

namespace powqmix {

// Sizes of one environment. The letters are those of powqmix/types.py: N agents, A actions, O observation, S
// state.
struct EnvSpec {
  std::string id;       // "predator_prey", "skirmish/3m", ...
  std::string version;  // goes into run.json: "skirmish v1"
  int n_agents = 0;
  int n_actions = 0;
  int obs_size = 0;
  int state_size = 0;
  int episode_limit = 0;
  bool has_win = false;  // whether battle_won means something
};

struct StepResult {
  float reward = 0.0f;
  bool terminated = false;  // a true end: no bootstrap
  bool truncated = false;   // cut by the limit: bootstrap from the last state
  bool battle_won = false;
};

class BatchedEnv {
 public:
  // first_env: index of this batch's first environment in the run, so that actors' streams differ.
  // Throws std::invalid_argument if num_envs or num_threads is below 1.
  BatchedEnv(EnvSpec spec, int num_envs, uint64_t seed, int num_threads, uint64_t first_env);
  virtual ~BatchedEnv() = default;
  BatchedEnv(const BatchedEnv&) = delete;
  BatchedEnv& operator=(const BatchedEnv&) = delete;

  const EnvSpec& spec() const { return spec_; }
  int num_envs() const { return num_envs_; }

  // Starts a new episode in every environment.
  void reset();
  // actions: [E, N]. An illegal one throws std::invalid_argument naming env, agent and action, and changes
  // nothing. An environment that ends resets itself; final_* keep the ended episode's last step.
  void step(const int32_t* actions);

  // Everything environment e's future depends on (its game, its random stream, its buffers), and back.
  // set_state throws std::invalid_argument on bytes that are not such a state.
  std::string get_state(int e) const;
  void set_state(int e, const std::string& bytes);

  // Current after reset() and step(); written in place, C-contiguous.
  std::vector<float> obs;                    // [E, N, O]
  std::vector<float> state;                  // [E, S]
  std::vector<uint8_t> avail_actions;        // [E, N, A]
  std::vector<float> reward;                 // [E]
  std::vector<uint8_t> terminated;           // [E]
  std::vector<uint8_t> truncated;            // [E]
  std::vector<uint8_t> battle_won;           // [E]
  std::vector<float> final_obs;              // [E, N, O]
  std::vector<float> final_state;            // [E, S]
  std::vector<uint8_t> final_avail_actions;  // [E, N, A]

 protected:
  // Starts an episode in environment e; random numbers come from random(e) only.
  virtual void start_episode(int e) = 0;
  // Plays one step; actions: [N], all legal. The game counts steps and says terminated or truncated itself.
  virtual StepResult play(int e, const int32_t* actions) = 0;
  // Writes what is seen now: obs [N, O], state [S], avail [N, A]. Every element is written.
  virtual void observe(int e, float* obs, float* state, uint8_t* avail) const = 0;
  // The game's own memory of environment e as bytes, and back (false: not such bytes).
  virtual std::string save_game(int e) const = 0;
  virtual bool load_game(int e, const std::string& bytes) = 0;

  RandomStream& random(int e) { return streams_[e]; }

 private:
  void begin(int e);
  void check(const int32_t* actions) const;

  EnvSpec spec_;
  int num_envs_;
  uint64_t seed_;
  uint64_t first_env_;
  bool started_ = false;
  std::vector<uint64_t> episodes_;  // [E] episodes started
  std::vector<RandomStream> streams_;
  ThreadPool pool_;
};

}  // namespace powqmix
