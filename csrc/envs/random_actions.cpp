#include "envs/random_actions.h"

#include <stdexcept>

namespace powqmix {

void random_actions(const BatchedEnv& env, uint64_t seed, uint64_t step, int32_t* actions) {
  constexpr uint64_t kNotTheGames =
      0x52414E444F4D2121ull;  // the same seed must not give the game's own streams
  const EnvSpec& spec = env.spec();
  const uint8_t* avail = env.avail_actions.data();
  for (int e = 0; e < env.num_envs(); ++e) {
    RandomStream random(seed ^ kNotTheGames, env.env_index(e), step);
    for (int agent = 0; agent < spec.n_agents; ++agent, avail += spec.n_actions) {
      uint32_t legal = 0;
      for (int a = 0; a < spec.n_actions; ++a) legal += avail[a] != 0;
      if (legal == 0) {
        throw std::invalid_argument(spec.id + ": env " + std::to_string(e) + ", agent " +
                                    std::to_string(agent) + " has no legal action; call reset() first");
      }
      uint32_t skip = random.below(legal);
      int action = 0;
      while (avail[action] == 0 || skip-- > 0) ++action;
      *actions++ = action;
    }
  }
}

}  // namespace powqmix
