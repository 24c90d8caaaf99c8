#include "actor/recorder.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace powqmix {

namespace {

const EpisodeLayout& checked(const EpisodeLayout& layout, int num_envs) {
  const std::pair<const char*, int> sizes[] = {
      {"n_agents", layout.n_agents},           {"n_actions", layout.n_actions},
      {"obs_size", layout.obs_size},           {"state_size", layout.state_size},
      {"episode_limit", layout.episode_limit}, {"num_envs", num_envs}};
  for (const auto& [name, value] : sizes) {
    if (value < 1) {
      throw std::invalid_argument(std::string(name) + " must be at least 1, got " + std::to_string(value));
    }
  }
  if (layout.real_bytes != 2 && layout.real_bytes != 4) {
    throw std::invalid_argument("real_bytes must be 2 or 4, got " + std::to_string(layout.real_bytes));
  }
  if (layout.index_bytes != 1 && layout.index_bytes != 2) {
    throw std::invalid_argument("index_bytes must be 1 or 2, got " + std::to_string(layout.index_bytes));
  }
  return layout;
}

// avail: [A] bytes -> bits, the lowest first.
void pack_bits(const uint8_t* avail, int n_actions, uint8_t* to) {
  for (int first = 0; first < n_actions; first += 8) {
    uint8_t bits = 0;
    const int count = n_actions - first < 8 ? n_actions - first : 8;
    for (int i = 0; i < count; ++i) bits |= static_cast<uint8_t>((avail[first + i] != 0) << i);
    *to++ = bits;
  }
}

}  // namespace

Recorder::Recorder(const EpisodeLayout& layout, int num_envs, const std::string& isa)
    : layout_(checked(layout, num_envs)),
      kernels_(policy_kernels(isa)),
      pool_(std::make_shared<EpisodePool>(layout)),
      open_(num_envs) {}

void Recorder::begin(int e, int64_t parameter_version, float epsilon) {
  FinishedEpisode& open = open_.at(e);
  std::shared_ptr<EpisodeBuffer> buffer = open.buffer ? std::move(open.buffer) : pool_->take();
  open = FinishedEpisode{};
  open.buffer = std::move(buffer);
  open.env = e;
  open.parameter_version = parameter_version;
  open.epsilon = epsilon;
}

void Recorder::write_reals(const float* from, uint8_t* to, size_t count) const {
  if (layout_.real_bytes == 4) {
    std::memcpy(to, from, count * sizeof(float));
  } else {
    kernels_.to_half(from, reinterpret_cast<uint16_t*>(to), count);
  }
}

void Recorder::observe(int e, const float* obs, const float* state, const uint8_t* avail) {
  const FinishedEpisode& open = open_.at(e);
  if (!open.buffer)
    throw std::logic_error("env " + std::to_string(e) + " has no open episode to record into");
  const size_t t = open.steps, agents = layout_.n_agents;
  write_reals(obs, open.buffer->field[kObs] + t * layout_.step_bytes(kObs), agents * layout_.obs_size);
  write_reals(state, open.buffer->field[kState] + t * layout_.step_bytes(kState), layout_.state_size);
  uint8_t* bits = open.buffer->field[kAvailActions] + t * layout_.step_bytes(kAvailActions);
  for (size_t agent = 0; agent < agents; ++agent) {
    pack_bits(avail + agent * layout_.n_actions, layout_.n_actions, bits + agent * layout_.avail_bytes());
  }
}

void Recorder::step(int e, const int32_t* actions, float reward, bool terminated) {
  FinishedEpisode& open = open_.at(e);
  if (!open.buffer)
    throw std::logic_error("env " + std::to_string(e) + " has no open episode to record into");
  if (open.steps >= layout_.episode_limit) {
    throw std::length_error("env " + std::to_string(e) + " went past its episode_limit of " +
                            std::to_string(layout_.episode_limit) +
                            " steps without ending; it must set truncated there");
  }
  const size_t t = open.steps;
  uint8_t* to = open.buffer->field[kActions] + t * layout_.step_bytes(kActions);
  for (int agent = 0; agent < layout_.n_agents; ++agent) {
    if (layout_.index_bytes == 1) {
      to[agent] = static_cast<uint8_t>(actions[agent]);
    } else {
      const uint16_t action = static_cast<uint16_t>(actions[agent]);
      std::memcpy(to + 2 * agent, &action, 2);
    }
  }
  std::memcpy(open.buffer->field[kReward] + t * sizeof(float), &reward, sizeof(float));
  open.buffer->field[kTerminated][t] = terminated;
  open.episode_return += reward;
  ++open.steps;
}

FinishedEpisode Recorder::finish(int e, bool terminated, bool truncated, bool battle_won) {
  FinishedEpisode& open = open_.at(e);
  if (!open.buffer || open.steps == 0) {
    throw std::logic_error("env " + std::to_string(e) + " has no recorded steps to finish");
  }
  FinishedEpisode finished = std::move(open);
  open = FinishedEpisode{};
  finished.terminated = terminated;
  finished.truncated = truncated;
  finished.battle_won = battle_won;
  return finished;
}

int Recorder::abort() {
  int dropped = 0;
  for (FinishedEpisode& open : open_) {
    dropped += open.buffer && open.steps > 0;
    open = FinishedEpisode{};
  }
  return dropped;
}

}  // namespace powqmix
