#include "envs/skirmish_scripted.h"

#include "envs/skirmish_agents.h"

namespace powqmix::skirmish {

namespace {

int random_action(const Battle& b, int u, const uint8_t* avail, int n_actions) {
  int legal = 0;
  for (int a = 0; a < n_actions; ++a) legal += avail[a];
  int left = static_cast<int>((static_cast<uint64_t>(draw(b, u, Draw::kScript)) * legal) >> 32);
  for (int a = 0; a < n_actions; ++a) {
    if (avail[a] && left-- == 0) return a;
  }
  return 1;
}

int nearest_enemy(const Battle& b, int u) {
  int best = -1;
  for (int v = b.n_allies; v < b.n_units; ++v) {
    if (b.alive(v) && (best < 0 || b.distance2(u, v) < b.distance2(u, best))) best = v;
  }
  return best;
}

// One of the four moves towards v: along the longer axis, the other one if that is blocked.
int approach(const Battle& b, int u, int v, const uint8_t* avail) {
  const float dx = b.x[v] - b.x[u], dy = b.y[v] - b.y[u];
  const int along_x = dx > 0 ? 4 : 5, along_y = dy > 0 ? 2 : 3;
  const bool x_first = std::abs(dx) > std::abs(dy);
  const int first = x_first ? along_x : along_y, second = x_first ? along_y : along_x;
  return avail[first] ? first : avail[second] ? second : 1;
}

}  // namespace

int scripted_action(Script script, const Battle& b, const Rules& rules, int u, const uint8_t* avail,
                    int n_actions) {
  if (!b.alive(u)) return 0;
  if (script == Script::kRandom) return random_action(b, u, avail, n_actions);
  const bool heals = rules.of(b, u).weapon == Weapon::kHeal;
  const int first = heals ? 0 : b.n_allies;
  int best = -1;
  float best_cost = 1e30f;
  for (int a = kFirstTarget; a < n_actions; ++a) {
    const int v = first + a - kFirstTarget;
    if (!avail[a]) continue;
    if (heals ? b.health[v] >= rules.of(b, v).health : !rules.of(b, u).can_hit(rules.of(b, v))) continue;
    // Distances are below 10 here: they break ties of health.
    const float strength = script == Script::kWeakest ? b.health[v] + b.shield[v] : 0.0f;
    const float cost = 1e3f * strength + b.distance2(u, v);
    if (cost < best_cost) {
      best_cost = cost;
      best = a;
    }
  }
  if (best >= 0) return best;
  const int enemy = nearest_enemy(b, u);
  return enemy < 0 ? 1 : approach(b, u, enemy, avail);
}

}  // namespace powqmix::skirmish
