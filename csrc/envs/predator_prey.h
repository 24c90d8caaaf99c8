// Predator-prey on a grid: prey must be caught by two agents at once, and catching alone may be punished.
//
// The stag hunt of PyMARL2 (used by WQMIX and POWQMIX to show relative over-generalisation), written from its
// published rules: see powqmix/envs/predator_prey.py, where they are stated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "envs/batched_env.h"

namespace powqmix {

struct PredatorPreyOptions {
  int grid = 10;  // the board is grid x grid
  int n_agents = 8;
  int n_prey = 8;
  int sight = 2;                 // cells seen in each direction: a window of (2 sight + 1)^2
  float punishment = -2.0f;      // reward of a catch that one agent tried alone
  float capture_reward = 10.0f;  // reward of a capture
  int episode_limit = 200;
};

class PredatorPrey : public BatchedEnv {
 public:
  static constexpr int kMaxGrid = 64;
  static constexpr int kMaxEntities = 128;  // agents, and prey
  static constexpr int kMaxSight = 16;
  static constexpr int32_t kGone = -1;  // the cell of a frozen agent or captured prey
  enum Action { kRight, kDown, kLeft, kUp, kStay, kCatch, kActions };

  // Where everything is: cells are row * grid + column, or kGone.
  struct Board {
    int32_t steps = 0;            // played in this episode
    std::vector<int32_t> agents;  // [N]
    std::vector<int32_t> prey;    // [n_prey]
  };

  // Throws std::invalid_argument naming an option that is out of its range.
  PredatorPrey(const PredatorPreyOptions& options, const BatchOptions& batch);

  Board board(int e) const;
  // Puts environment e on this board, to build a scenario. Throws std::invalid_argument, and changes nothing,
  // if it is not one that can be played on: two on one cell, nobody left, no step left.
  void place(int e, const Board& board);

 protected:
  void start_episode(int e) override;
  StepResult play(int e, const int32_t* actions) override;
  void observe(int e, float* obs, float* state, uint8_t* avail) const override;
  std::string save_game(int e) const override;
  bool load_game(int e, const std::string& bytes) override;

 private:
  enum Occupant : uint8_t { kFree, kAgent, kPrey, kWall };

  // Cells inside are those of the board with a wall around it, so a neighbour needs no check of bounds.
  int padded(int32_t cell) const { return (cell / options_.grid + 1) * width_ + cell % options_.grid + 1; }
  int32_t unpadded(int at) const { return (at / width_ - 1) * options_.grid + at % width_ - 1; }
  uint8_t* occupants(int e) { return &occupants_[static_cast<size_t>(e) * width_ * width_]; }
  const uint8_t* occupants(int e) const { return &occupants_[static_cast<size_t>(e) * width_ * width_]; }
  int32_t* agents(int e) { return &agents_[static_cast<size_t>(e) * options_.n_agents]; }
  const int32_t* agents(int e) const { return &agents_[static_cast<size_t>(e) * options_.n_agents]; }
  int32_t* prey(int e) { return &prey_[static_cast<size_t>(e) * options_.n_prey]; }
  const int32_t* prey(int e) const { return &prey_[static_cast<size_t>(e) * options_.n_prey]; }

  void move_agents(int e, const int32_t* actions);
  float resolve_prey(int e, const int32_t* actions);
  void move_prey(int e, int which);
  bool playable(const Board& board) const;
  void set_board(int e, const Board& board);
  void clear_occupants(int e);

  PredatorPreyOptions options_;
  int width_;                       // grid + 2: the board and its wall
  int offset_[4];                   // to the neighbour right, down, left, up
  std::vector<uint8_t> occupants_;  // [E, width, width]
  std::vector<int32_t> agents_;     // [E, N] padded cell, or kGone
  std::vector<int32_t> prey_;       // [E, n_prey] padded cell, or kGone
  std::vector<int32_t> steps_;      // [E] steps played in this episode
};

}  // namespace powqmix
