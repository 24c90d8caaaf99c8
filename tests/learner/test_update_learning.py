"""POWQMIX solves the paper's matrix game, whose optimum a uniformly weighted monotonic mixer cannot see."""

from __future__ import annotations

from collections.abc import Iterator

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


def learning(algorithm: str, updates: int, every: int) -> Iterator[Update]:
    """The update after each `every` of `updates` steps."""
    update = Update(config.resolve("matrix/powqmix", algorithm, seed=0), SPEC, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    for step in range(updates):
        update(random_play(generator), env_steps=8 * step)
        if (step + 1) % every == 0:
            yield update


def test_powqmix_finds_the_optimum_and_the_payoff_matrix() -> None:
    errors = []
    for update in learning("powqmix", 700, every=50):
        tables = update.joint_tables()
        errors.append(np.abs(np.array(tables["q_r"]) - PAYOFF.numpy()).max())
    assert tables["greedy_joint_action"] == [0, 0]
    assert abs(tables["q_tot"][0][0] - 8.0) < 0.1
    assert np.median(errors[-7:]) < 0.1  # Adam at a constant rate throws Q_r off now and then, for some steps


def test_qmix_settles_on_the_safe_joint_action() -> None:
    (update,) = learning("qmix", 600, every=600)
    assert update.joint_tables()["greedy_joint_action"] != [0, 0]
