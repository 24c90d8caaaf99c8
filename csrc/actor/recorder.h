// Recorder: writes steps of E environments, encoded as they will be sent and stored, into the buffers of
// their episodes.
//
// A finished episode keeps its buffer for as long as someone reads it, then the buffer goes back to the pool:
// the wire sends from it without a copy, and no memory is allocated once the pool is as deep as the episodes
// on the way.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actor/episode_buffer.h"
#include "actor/policy_kernels.h"

namespace powqmix {

// An episode that ended; its arrays are in `buffer`.
struct FinishedEpisode {
  std::shared_ptr<EpisodeBuffer> buffer;
  int env = 0;
  int steps = 0;
  bool terminated = false;
  bool truncated = false;
  bool battle_won = false;
  double episode_return = 0.0;
  int64_t parameter_version = 0;
  float epsilon = 0.0f;
};

class Recorder {
 public:
  // Throws std::invalid_argument on a layout with a size below 1 or an element size that is not 2 or 4 (1 or
  // 2).
  Recorder(const EpisodeLayout& layout, int num_envs, const std::string& isa);

  const EpisodeLayout& layout() const { return layout_; }
  int num_envs() const { return static_cast<int>(open_.size()); }

  // Opens an episode in environment e; one that was open there is dropped.
  void begin(int e, int64_t parameter_version, float epsilon);
  bool is_open(int e) const { return open_.at(e).buffer != nullptr; }
  int steps(int e) const { return open_.at(e).steps; }
  // What is seen now. obs: [N, O], state: [S], avail: u8 [N, A]; once before each step() and once before
  // finish().
  void observe(int e, const float* obs, const float* state, const uint8_t* avail);
  // What was done and what came of it. actions: [N]. Throws std::length_error at the episode limit.
  void step(int e, const int32_t* actions, float reward, bool terminated);
  // Closes the episode; observe() has written the last step.
  FinishedEpisode finish(int e, bool terminated, bool truncated, bool battle_won);
  // Drops the open episodes that have steps; returns how many.
  int abort();
  // Buffers that wait in the pool for their next episode.
  size_t free_buffers() const { return pool_->free_count(); }

 private:
  void write_reals(const float* from, uint8_t* to, size_t count) const;

  EpisodeLayout layout_;
  const PolicyKernels& kernels_;
  std::shared_ptr<EpisodePool> pool_;
  std::vector<FinishedEpisode> open_;  // [E]
};

}  // namespace powqmix
