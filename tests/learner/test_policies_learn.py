"""Actors that draw from a policy and updates of it, together: a matrix game is played better and better."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from powqmix import config, envs
from powqmix.actors.rollout import Rollout
from powqmix.learner.update import Update
from powqmix.types import Episode, EpisodeBatch, episode_schema

PAYOFF = [[10.0, 0.0, 0.0], [0.0, 2.0, 1.0], [0.0, 1.0, 4.0]]  # 2 in the mean; 10 where both take A
EPISODES = 32
FASTER = ("training.learning_rate=0.005", "training.critic_learning_rate=0.005", "training.target_update_interval=1")


def batch_of(episodes: list[Episode]) -> EpisodeBatch:
    count = len(episodes)
    obs, state, _, actions, reward, terminated = (
        torch.from_numpy(np.stack([episode.frames[k] for episode in episodes])) for k in range(6)
    )
    return EpisodeBatch(
        obs=obs.float(), state=state.float(), avail_actions=torch.ones(count, 2, 2, 3, dtype=torch.uint8),
        actions=actions.long(), reward=reward, terminated=terminated, filled=torch.ones(count, 1, dtype=torch.uint8),
        filled_count=count,
    )  # fmt: skip


@pytest.mark.parametrize("algorithm", ["maddpg", "coma", "lica", "fop"])
def test_a_policy_learns_the_best_joint_action_from_its_own_draws(algorithm: str) -> None:
    settings = config.resolve("matrix/powqmix", algorithm, assignments=FASTER)
    env = envs.make("matrix/powqmix", EPISODES, 1, payoff=PAYOFF)
    update = Update(settings, env.spec, torch.device("cpu"))
    rollout = Rollout(env, update.policy, episode_schema(env.spec, "float32"), 2)
    returns = []
    for step in range(300):
        env_steps = 400 * step
        rollout.set_parameters(update.policy_vector(), step)
        episodes = rollout.play_round(settings.exploration.epsilon(env_steps))
        update(batch_of(episodes), env_steps)
        returns.append(float(np.mean([episode.episode_return for episode in episodes])))
    env.close()
    assert np.mean(returns[:3]) < 3.0
    assert np.mean(returns[-10:]) > 8.0
    assert update.joint_tables()["greedy_joint_action"] == [0, 0]
