"""The table of algorithms: what each is made of."""

from __future__ import annotations

import dataclasses

import pytest

from powqmix import config
from powqmix.config import ALGORITHMS, ConfigError
from powqmix.modules import MonotonicMixer, VDNMixer
from powqmix.objectives import OBJECTIVES, build_objective
from powqmix.objectives import weighting as w
from powqmix.objectives.weighted_td import WeightedTDObjective
from powqmix.types import EnvSpec, PolicySpec

SPEC = EnvSpec("predator_prey", n_agents=3, n_actions=4, obs_size=5, state_size=6, episode_limit=7)
POLICY = PolicySpec(3, 4, 5, 8, use_last_action=True, use_agent_id=True)


def test_the_configuration_and_the_table_know_the_same_algorithms() -> None:
    assert sorted(ALGORITHMS) == sorted(OBJECTIVES)


@pytest.mark.parametrize(
    ("algorithm", "mixer", "critic", "weighting"),
    [
        ("vdn", VDNMixer, False, w.UniformWeighting),
        ("qmix", MonotonicMixer, False, w.UniformWeighting),
        ("cw-qmix", MonotonicMixer, True, w.CentralWeighting),
        ("ow-qmix", MonotonicMixer, True, w.OptimisticWeighting),
        ("powqmix", MonotonicMixer, True, w.RecognizerWeighting),
        ("pow-vdn", VDNMixer, True, w.RecognizerWeighting),
        ("powqmix-opt", MonotonicMixer, True, w.GreedyWeighting),
    ],
)
def test_an_algorithm_is_a_composition(algorithm: str, mixer: type, critic: bool, weighting: type) -> None:
    objective = build_objective(config.resolve("predator_prey", algorithm), SPEC, POLICY)
    assert isinstance(objective, WeightedTDObjective)
    assert type(objective.mixer) is mixer
    assert (objective.critic is not None) == critic
    assert type(objective.weighting) is weighting
    assert (objective.recognizer is not None) == (weighting is w.RecognizerWeighting)
    assert not any(p.requires_grad for p in objective.target.parameters())
    assert objective.trained()[0] is objective.agent


def test_the_agents_and_the_central_agents_share_nothing() -> None:
    objective = build_objective(config.resolve("predator_prey", "powqmix"), SPEC, POLICY)
    assert isinstance(objective, WeightedTDObjective)
    assert objective.critic is not None
    owned = {p.data_ptr() for p in objective.agent.parameters()}
    assert not owned & {p.data_ptr() for p in objective.critic.agent.parameters()}


def test_uniform_weights_are_one_by_default() -> None:
    for algorithm in ("qmix", "vdn"):
        assert config.resolve("predator_prey", algorithm).weighting.recognized_weight == 1.0


def test_an_unknown_algorithm_is_refused_with_the_near_ones() -> None:
    unknown = dataclasses.replace(config.resolve("predator_prey"), algorithm="qmux")
    with pytest.raises(ConfigError, match=r"unknown algorithm 'qmux'; did you mean .*qmix"):
        build_objective(unknown, SPEC, POLICY)
