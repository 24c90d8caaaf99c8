// BatchedEnv: what every native environment is. It owns the buffers, checks actions, resets ended episodes,
// splits threads.
//
// A game derives from it and says three things for one environment e: how an episode starts, what a step
// does, and what is seen. Everything about batches, auto-reset, final_* arrays and random streams is here,
// once. One thread calls an environment at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "powqmix/random.h"

namespace powqmix {

// Sizes of one environment. The letters are those of powqmix/types.py: N agents, A actions, O observation,
// S state.
struct EnvSpec {
  std::string id;       // "predator_prey", "skirmish/3m", ...
  std::string version;  // goes into run.json: "skirmish v2"
  int n_agents = 0;
  int n_actions = 0;
  int obs_size = 0;
  int state_size = 0;
  int episode_limit = 0;
  bool has_win = false;  // whether battle_won means something
};

// How many environments, keyed how, on how many threads.
struct BatchOptions {
  int num_envs = 1;
  uint64_t seed = 0;
  int num_threads = 1;
  uint64_t first_env =
      0;  // index of this batch's first environment in the run, so that actors' streams differ
};

struct StepResult {
  float reward = 0.0f;
  bool terminated = false;  // a true end: no bootstrap
  bool truncated = false;   // cut by the limit: bootstrap from the last state
  bool battle_won = false;
};

class BatchedEnv {
 public:
  // Throws std::invalid_argument if num_envs or num_threads is below 1.
  BatchedEnv(EnvSpec spec, const BatchOptions& batch);
  virtual ~BatchedEnv() = default;
  BatchedEnv(const BatchedEnv&) = delete;
  BatchedEnv& operator=(const BatchedEnv&) = delete;

  const EnvSpec& spec() const { return spec_; }
  int num_envs() const { return num_envs_; }

  // Starts a new episode in every environment. The final_* arrays stay as they are.
  void reset();
  // actions: [E, N]. An illegal one throws std::invalid_argument naming env, agent and action, and changes
  // nothing. An environment that ends resets itself; final_* keep the ended episode's last step.
  // Before the first reset() no action is legal, nor after a step that threw anything else.
  void step(const int32_t* actions);

  // Everything environment e's future depends on (its game, its random stream, the key of its next ones), and
  // back: any environment of the same game then plays on as that one would have. set_state throws
  // std::invalid_argument on bytes that are not such a state, and changes nothing then.
  std::string get_state(int e) const;
  void set_state(int e, const std::string& bytes);

  // The index of environment e in the run: with the seed, the key of its random streams.
  uint64_t env_index(int e) const { return keys_[e].env_index; }

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
  // A true end on the last allowed step is terminated, not truncated.
  virtual StepResult play(int e, const int32_t* actions) = 0;
  // Writes what is seen now: obs [N, O], state [S], avail [N, A]. Every element is written. A function of the
  // game's memory alone, for set_state shows a restored game through it.
  virtual void observe(int e, float* obs, float* state, uint8_t* avail) const = 0;
  // The game's own memory of environment e as bytes, and back. load_game trusts nothing: it returns false,
  // and leaves the game as it was, unless the bytes are a game that play() can go on from.
  virtual std::string save_game(int e) const = 0;
  virtual bool load_game(int e, const std::string& bytes) = 0;

  RandomStream& random(int e) { return streams_[e]; }
  // Throws std::invalid_argument if there is no environment e, or (begun) if it has not begun an episode.
  void require_env(int e) const;
  void require_begun(int e) const;
  // Writes what is seen of environment e after its game was changed from outside; reward and flags become 0.
  void show(int e);

 private:
  struct Key {  // of environment e's random streams
    uint64_t seed = 0;
    uint64_t env_index = 0;
    uint64_t episodes = 0;  // started so far
  };
  void begin(int e);
  void observe_current(int e);
  // Calls body(e) for every environment, on all threads; throws what it throws, when all are done.
  void for_envs(const std::function<void(int)>& body) const;
  void check(const int32_t* actions) const;
  uint64_t fingerprint() const;

  EnvSpec spec_;
  int num_envs_, num_threads_;
  std::vector<Key> keys_;              // [E]
  std::vector<RandomStream> streams_;  // [E]
};

}  // namespace powqmix
