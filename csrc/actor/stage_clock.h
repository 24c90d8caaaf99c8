// StageClock: where the time of a rollout goes, measured between the stages of its steps; idle until it is
// started.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

namespace powqmix {

enum RolloutStage { kPolicyStage, kSimulateStage, kRecordStage, kRolloutStages };
constexpr const char* kRolloutStageNames[kRolloutStages] = {"policy", "simulate", "record"};

struct StageSpan {
  int stage;
  int64_t start_ns;  // of std::chrono::steady_clock, which is Python's time.monotonic on Linux
  int64_t end_ns;
};

class StageClock {
 public:
  // Counts from zero; keeps the first max_spans stages one by one too.
  void start(size_t max_spans) {
    on_ = true;
    nanoseconds_.fill(0);
    spans_.clear();
    spans_.reserve(max_spans);
  }
  // What follows belongs to the stage that `end` names.
  void begin() {
    if (on_) last_ns_ = now_ns();
  }
  // The stage that began with the last begin() or end() is over, and the next one begins.
  void end(RolloutStage stage) {
    if (!on_) return;
    const int64_t now = now_ns();
    nanoseconds_[stage] += now - last_ns_;
    if (spans_.size() < spans_.capacity()) spans_.push_back({stage, last_ns_, now});
    last_ns_ = now;
  }

  const std::array<int64_t, kRolloutStages>& nanoseconds() const { return nanoseconds_; }
  const std::vector<StageSpan>& spans() const { return spans_; }

 private:
  static int64_t now_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  }

  bool on_ = false;
  int64_t last_ns_ = 0;
  std::array<int64_t, kRolloutStages> nanoseconds_{};
  std::vector<StageSpan> spans_;
};

}  // namespace powqmix
