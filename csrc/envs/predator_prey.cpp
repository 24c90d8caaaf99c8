#include "envs/predator_prey.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace powqmix {

namespace {

constexpr int kPlanes =
    3;  // agents (oneself included), prey, hares; this variant has no hares, the plane stays 0

void in_range(const char* name, int value, int low, int high) {
  if (value < low || value > high) {
    throw std::invalid_argument(std::string("predator_prey: ") + name + " must be from " +
                                std::to_string(low) + " to " + std::to_string(high) + ", got " +
                                std::to_string(value));
  }
}

EnvSpec predator_prey_spec(const PredatorPreyOptions& options) {
  in_range("grid", options.grid, 2, PredatorPrey::kMaxGrid);
  in_range("n_agents", options.n_agents, 1, PredatorPrey::kMaxEntities);
  in_range("n_prey", options.n_prey, 1, PredatorPrey::kMaxEntities);
  in_range("n_agents + n_prey", options.n_agents + options.n_prey, 2, options.grid * options.grid);
  in_range("sight", options.sight, 0, PredatorPrey::kMaxSight);
  in_range("episode_limit", options.episode_limit, 1, 1 << 20);
  if (!std::isfinite(options.punishment) || !std::isfinite(options.capture_reward)) {
    throw std::invalid_argument("predator_prey: punishment and capture_reward must be finite");
  }
  const int window = 2 * options.sight + 1;
  EnvSpec spec;
  spec.id = "predator_prey";
  spec.version = "predator_prey v1";
  spec.n_agents = options.n_agents;
  spec.n_actions = PredatorPrey::kActions;
  spec.obs_size = window * window * kPlanes;
  spec.state_size = options.grid * options.grid * kPlanes;
  spec.episode_limit = options.episode_limit;
  return spec;
}

// Indices of the entries of cells [count] that are on the board, in a uniformly random order; returns how
// many.
int shuffled_present(RandomStream& random, const int32_t* cells, int count, uint8_t* order) {
  int present = 0;
  for (int i = 0; i < count; ++i) {
    if (cells[i] != PredatorPrey::kGone) order[present++] = static_cast<uint8_t>(i);
  }
  for (int last = present - 1; last > 0; --last) std::swap(order[last], order[random.below(last + 1)]);
  return present;
}

}  // namespace

PredatorPrey::PredatorPrey(const PredatorPreyOptions& options, const BatchOptions& batch)
    : BatchedEnv(predator_prey_spec(options), batch),
      options_(options),
      width_(options.grid + 2),
      offset_{1, width_, -1, -width_},
      occupants_(static_cast<size_t>(num_envs()) * width_ * width_, kWall),
      agents_(static_cast<size_t>(num_envs()) * options.n_agents, kGone),
      prey_(static_cast<size_t>(num_envs()) * options.n_prey, kGone),
      steps_(num_envs(), 0) {}

void PredatorPrey::clear_occupants(int e) {
  for (int row = 1; row <= options_.grid; ++row) {
    std::fill_n(occupants(e) + row * width_ + 1, options_.grid, uint8_t{kFree});
  }
}

void PredatorPrey::start_episode(int e) {
  steps_[e] = 0;
  clear_occupants(e);
  int free_cells = options_.grid * options_.grid;
  const auto put = [&](int32_t* cells, int count, Occupant who) {
    for (int i = 0; i < count; ++i) {
      uint32_t skip = random(e).below(free_cells--);
      int at = width_ + 1;  // the k-th free cell; the walls between rows are not free
      while (occupants(e)[at] != kFree || skip-- > 0) ++at;
      occupants(e)[at] = who;
      cells[i] = at;
    }
  };
  put(agents(e), options_.n_agents, kAgent);
  put(prey(e), options_.n_prey, kPrey);
}

StepResult PredatorPrey::play(int e, const int32_t* actions) {
  move_agents(e, actions);
  StepResult result;
  result.reward = resolve_prey(e, actions);
  const auto gone = [](int32_t cell) { return cell == kGone; };
  result.terminated = std::all_of(prey(e), prey(e) + options_.n_prey, gone) ||
                      std::all_of(agents(e), agents(e) + options_.n_agents, gone);
  result.truncated = ++steps_[e] >= options_.episode_limit && !result.terminated;
  return result;
}

// One after another in random order; a move into an occupied cell does nothing.
void PredatorPrey::move_agents(int e, const int32_t* actions) {
  uint8_t order[kMaxEntities];
  const int present = shuffled_present(random(e), agents(e), options_.n_agents, order);
  for (int turn = 0; turn < present; ++turn) {
    const int agent = order[turn];
    if (actions[agent] >= kStay) continue;
    const int from = agents(e)[agent], to = from + offset_[actions[agent]];
    if (occupants(e)[to] != kFree) continue;
    occupants(e)[from] = kFree;
    occupants(e)[to] = kAgent;
    agents(e)[agent] = to;
  }
}

// Prey one after another in random order, each on the positions that those before it left. Returns the
// reward.
float PredatorPrey::resolve_prey(int e, const int32_t* actions) {
  uint8_t order[kMaxEntities];
  const int present = shuffled_present(random(e), prey(e), options_.n_prey, order);
  float reward = 0.0f;
  for (int turn = 0; turn < present; ++turn) {
    const int32_t at = prey(e)[order[turn]];
    uint8_t catchers[4];  // a cell has four neighbours and each holds one entity
    int count = 0;
    for (int agent = 0; agent < options_.n_agents; ++agent) {
      if (actions[agent] != kCatch || agents(e)[agent] == kGone) continue;
      const int distance = agents(e)[agent] - at;
      if (std::find(offset_, offset_ + 4, distance) != offset_ + 4) {
        catchers[count++] = static_cast<uint8_t>(agent);
      }
    }
    if (count >= 2) {
      reward += options_.capture_reward;
      occupants(e)[at] = kFree;
      prey(e)[order[turn]] = kGone;
      for (int i = 0; i < count; ++i) {
        occupants(e)[agents(e)[catchers[i]]] = kFree;
        agents(e)[catchers[i]] = kGone;
      }
      continue;
    }
    if (count == 1) reward += options_.punishment;
    move_prey(e, order[turn]);
  }
  return reward;
}

// To a uniformly random free neighbour cell; nowhere if there is none.
void PredatorPrey::move_prey(int e, int which) {
  const int at = prey(e)[which];
  int free_cells[4], count = 0;
  for (const int offset : offset_) {
    if (occupants(e)[at + offset] == kFree) free_cells[count++] = at + offset;
  }
  if (count == 0) return;
  const int to = free_cells[random(e).below(count)];
  occupants(e)[at] = kFree;
  occupants(e)[to] = kPrey;
  prey(e)[which] = to;
}

void PredatorPrey::observe(int e, float* obs, float* state, uint8_t* avail) const {
  const int grid = options_.grid, sight = options_.sight, window = 2 * sight + 1;
  std::fill_n(state, spec().state_size, 0.0f);
  const auto mark = [&](const int32_t* cells, int count, int plane) {
    for (int i = 0; i < count; ++i) {
      if (cells[i] != kGone) state[unpadded(cells[i]) * kPlanes + plane] = 1.0f;
    }
  };
  mark(agents(e), options_.n_agents, 0);
  mark(prey(e), options_.n_prey, 1);

  std::fill_n(obs, options_.n_agents * spec().obs_size, 0.0f);
  std::fill_n(avail, options_.n_agents * kActions, uint8_t{0});
  for (int agent = 0; agent < options_.n_agents; ++agent, obs += spec().obs_size, avail += kActions) {
    avail[kStay] = 1;
    const int at = agents(e)[agent];
    if (at == kGone) continue;
    for (int direction = 0; direction < 4; ++direction) {
      const uint8_t neighbour = occupants(e)[at + offset_[direction]];
      if (neighbour != kWall) avail[direction] = 1;
      if (neighbour == kPrey) avail[kCatch] = 1;
    }
    // The window is cut out of the state; what lies outside of the board stays 0.
    const int row = at / width_ - 1, column = at % width_ - 1;
    const int first = std::max(column - sight, 0), last = std::min(column + sight, grid - 1);
    for (int seen = std::max(row - sight, 0); seen <= std::min(row + sight, grid - 1); ++seen) {
      const float* from = state + (seen * grid + first) * kPlanes;
      float* to = obs + ((seen - row + sight) * window + first - column + sight) * kPlanes;
      std::copy_n(from, (last - first + 1) * kPlanes, to);
    }
  }
}

PredatorPrey::Board PredatorPrey::board(int e) const {
  require_begun(e);
  Board board;
  board.steps = steps_[e];
  const auto cell = [this](int32_t at) { return at == kGone ? kGone : unpadded(at); };
  for (int i = 0; i < options_.n_agents; ++i) board.agents.push_back(cell(agents(e)[i]));
  for (int i = 0; i < options_.n_prey; ++i) board.prey.push_back(cell(prey(e)[i]));
  return board;
}

bool PredatorPrey::playable(const Board& board) const {
  if (board.agents.size() != static_cast<size_t>(options_.n_agents) ||
      board.prey.size() != static_cast<size_t>(options_.n_prey) || board.steps < 0 ||
      board.steps >= options_.episode_limit) {
    return false;
  }
  std::vector<bool> taken(options_.grid * options_.grid, false);
  for (const auto* cells : {&board.agents, &board.prey}) {
    bool any = false;
    for (const int32_t cell : *cells) {
      if (cell == kGone) continue;
      if (cell < 0 || cell >= options_.grid * options_.grid || taken[cell]) return false;
      taken[cell] = any = true;
    }
    if (!any) return false;
  }
  return true;
}

void PredatorPrey::set_board(int e, const Board& board) {
  steps_[e] = board.steps;
  clear_occupants(e);
  const auto put = [&](const std::vector<int32_t>& from, int32_t* cells, Occupant who) {
    for (size_t i = 0; i < from.size(); ++i) {
      cells[i] = from[i] == kGone ? kGone : padded(from[i]);
      if (cells[i] != kGone) occupants(e)[cells[i]] = who;
    }
  };
  put(board.agents, agents(e), kAgent);
  put(board.prey, prey(e), kPrey);
}

void PredatorPrey::place(int e, const Board& board) {
  require_begun(e);
  if (!playable(board)) {
    throw std::invalid_argument(
        "predator_prey: not a board that can be played on: it needs " + std::to_string(options_.n_agents) +
        " agents and " + std::to_string(options_.n_prey) + " prey on different cells of the " +
        std::to_string(options_.grid) + " x " + std::to_string(options_.grid) +
        " grid (or gone), one of each left, and a step below " + std::to_string(options_.episode_limit));
  }
  set_board(e, board);
  show(e);
}

std::string PredatorPrey::save_game(int e) const {
  const Board now = board(e);
  std::vector<int32_t> words{now.steps};
  words.insert(words.end(), now.agents.begin(), now.agents.end());
  words.insert(words.end(), now.prey.begin(), now.prey.end());
  return std::string(reinterpret_cast<const char*>(words.data()), words.size() * sizeof(int32_t));
}

bool PredatorPrey::load_game(int e, const std::string& bytes) {
  std::vector<int32_t> words(1 + options_.n_agents + options_.n_prey);
  if (bytes.size() != words.size() * sizeof(int32_t)) return false;
  std::memcpy(words.data(), bytes.data(), bytes.size());
  const auto split = words.begin() + 1 + options_.n_agents;
  const Board board{words[0], {words.begin() + 1, split}, {split, words.end()}};
  if (!playable(board)) return false;
  set_board(e, board);
  return true;
}

}  // namespace powqmix
