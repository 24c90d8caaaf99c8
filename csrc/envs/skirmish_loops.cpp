#include "envs/skirmish_loops.h"

#include <cstdlib>
#include <cstring>

#include "envs/skirmish_combat.h"
#include "envs/skirmish_computer.h"
#include "envs/skirmish_movement.h"
#include "envs/skirmish_separation.h"

namespace powqmix::skirmish {

namespace {

inline void loops(Battle& b, const Rules& rules) {
  const Recovery limits = recovery(b, rules);
  for (int loop = 0; loop < kLoopsPerStep; ++loop) {
    ++b.loop;
    advance_timers(b, rules, limits);
    command(b, rules);
    const Places before = places(b);
    move(b, rules, before);
    separate(b, rules, before);
    attack(b, rules);
    bury(b, rules);
  }
}

#if defined(__x86_64__) && defined(__GNUC__)
// The same statements in registers twice as wide: without contraction they give the same bits.
[[gnu::target("avx2"), gnu::flatten]] void loops_avx2(Battle& b, const Rules& rules) { loops(b, rules); }

bool has_avx2() {
  const char* const wanted = std::getenv("POWQMIX_ISA");  // "baseline": for tests
  return (wanted == nullptr || std::strcmp(wanted, "baseline") != 0) && __builtin_cpu_supports("avx2");
}
#endif

}  // namespace

void play_loops(Battle& b, const Rules& rules) {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool wide = has_avx2();
  if (wide) return loops_avx2(b, rules);
#endif
  loops(b, rules);
}

}  // namespace powqmix::skirmish
