// EpisodeBuffer: one block of memory that holds an episode in the layout of powqmix.types.EpisodeSchema.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "actor/aligned.h"

namespace powqmix {

// The schema's fields, in its order.
enum EpisodeField { kObs, kState, kAvailActions, kActions, kReward, kTerminated, kFieldCount };

struct EpisodeLayout {
  int n_agents = 0;
  int n_actions = 0;
  int obs_size = 0;
  int state_size = 0;
  int episode_limit = 0;
  int real_bytes = 2;   // 2: IEEE half, 4: float32; of obs and state
  int index_bytes = 1;  // of actions

  int avail_bytes() const { return (n_actions + 7) / 8; }
  // Bytes of one step of a field.
  size_t step_bytes(int field) const {
    const size_t agents = n_agents;
    switch (field) {
      case kObs:
        return agents * obs_size * real_bytes;
      case kState:
        return static_cast<size_t>(state_size) * real_bytes;
      case kAvailActions:
        return agents * avail_bytes();
      case kActions:
        return agents * index_bytes;
      case kReward:
        return sizeof(float);
      default:
        return 1;
    }
  }
  // Observations, states and legal actions have one step more: what was seen after the last action.
  static int extra_steps(int field) { return field <= kAvailActions ? 1 : 0; }
  // Where a field starts in a buffer; every field starts on a cache line. field = kFieldCount: the whole
  // size.
  size_t offset(int field) const {
    size_t at = 0;
    for (int f = 0; f < field; ++f) {
      at += (step_bytes(f) * (static_cast<size_t>(episode_limit) + extra_steps(f)) + 63) / 64 * 64;
    }
    return at;
  }
};

struct EpisodeBuffer {
  explicit EpisodeBuffer(const EpisodeLayout& layout)
      : memory(static_cast<uint8_t*>(::operator new(layout.offset(kFieldCount), std::align_val_t{64}))) {
    for (int f = 0; f < kFieldCount; ++f) field[f] = memory + layout.offset(f);
  }
  ~EpisodeBuffer() { ::operator delete(memory, std::align_val_t{64}); }
  EpisodeBuffer(const EpisodeBuffer&) = delete;
  EpisodeBuffer& operator=(const EpisodeBuffer&) = delete;

  uint8_t* memory;  // not touched before it is written: pages past a short episode's end are never mapped
  uint8_t* field[kFieldCount];
};

// Buffers that come back when their last reader lets go, on whatever thread that is. Outlived by no one: a
// buffer that returns after the pool is gone is freed.
class EpisodePool : public std::enable_shared_from_this<EpisodePool> {
 public:
  explicit EpisodePool(const EpisodeLayout& layout) : layout_(layout) {}

  std::shared_ptr<EpisodeBuffer> take() {
    std::unique_ptr<EpisodeBuffer> buffer;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!free_.empty()) {
        buffer = std::move(free_.back());
        free_.pop_back();
      }
    }
    if (!buffer) buffer = std::make_unique<EpisodeBuffer>(layout_);
    std::weak_ptr<EpisodePool> pool = weak_from_this();
    return {buffer.release(), [pool](EpisodeBuffer* returned) {
              std::unique_ptr<EpisodeBuffer> owned(returned);
              if (auto alive = pool.lock()) alive->give_back(std::move(owned));
            }};
  }
  size_t free_count() {
    std::lock_guard<std::mutex> lock(mutex_);
    return free_.size();
  }

 private:
  void give_back(std::unique_ptr<EpisodeBuffer> buffer) {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(buffer));
  }

  EpisodeLayout layout_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<EpisodeBuffer>> free_;
};

}  // namespace powqmix
