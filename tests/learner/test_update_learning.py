"""POWQMIX solves the paper's matrix game, whose optimum a uniformly weighted monotonic mixer cannot see."""

from __future__ import annotations

import numpy as np
import torch

from powqmix import config
from powqmix.learner.update import Update
from powqmix.types import EnvSpec, EpisodeBatch

SPEC = EnvSpec("matrix/powqmix", n_agents=2, n_actions=3, obs_size=1, state_size=1, episode_limit=1)
PAYOFF = torch.tensor([[8.0, -12.0, -12.0], [-12.0, 0.0, 0.0], [-12.0, 0.0, 7.9]])
B = 128


def random_play(generator: torch.Generator) -> EpisodeBatch:
    actions = torch.randint(0, 3, (B, 1, 2), generator=generator)
    return EpisodeBatch(
        obs=torch.ones(B, 2, 2, 1), state=torch.ones(B, 2, 1),
        avail_actions=torch.ones(B, 2, 2, 3, dtype=torch.uint8), actions=actions,
        reward=PAYOFF[actions[:, :, 0], actions[:, :, 1]], terminated=torch.ones(B, 1, dtype=torch.uint8),
        filled=torch.ones(B, 1, dtype=torch.uint8), filled_count=B,
    )  # fmt: skip


def learned(algorithm: str, updates: int) -> Update:
    update = Update(config.resolve("matrix/powqmix", algorithm, seed=0), SPEC, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    for step in range(updates):
        update(random_play(generator), env_steps=8 * step)
    return update


def test_powqmix_finds_the_optimum_and_the_payoff_matrix() -> None:
    tables = learned("powqmix", 600).joint_tables()
    assert tables["greedy_joint_action"] == [0, 0]
    assert abs(tables["q_tot"][0][0] - 8.0) < 0.1
    assert np.abs(np.array(tables["q_r"]) - PAYOFF.numpy()).max() < 0.15


def test_qmix_settles_on_the_safe_joint_action() -> None:
    assert learned("qmix", 600).joint_tables()["greedy_joint_action"] != [0, 0]
