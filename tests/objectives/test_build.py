"""The table of algorithms: what each is made of."""

from __future__ import annotations

import dataclasses

import pytest

from powqmix import config
from powqmix.config import ALGORITHMS, ConfigError
from powqmix.modules import CentralMixer, DuplexDuelingMixer, MonotonicMixer, VDNMixer
from powqmix.objectives import OBJECTIVES, build_objective
from powqmix.objectives import weighting as w
from powqmix.objectives.joint_value import JointValue
from powqmix.objectives.residual import ResidualObjective
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
        ("qplex", DuplexDuelingMixer, False, w.UniformWeighting),
        ("cw-qmix", MonotonicMixer, True, w.CentralWeighting),
        ("ow-qmix", MonotonicMixer, True, w.OptimisticWeighting),
        ("qmix-5", MonotonicMixer, False, w.UniformWeighting),
        ("cw-qmix-5", MonotonicMixer, True, w.CentralWeighting),
        ("ow-qmix-5", MonotonicMixer, True, w.OptimisticWeighting),
        ("powqmix", MonotonicMixer, True, w.RecognizerWeighting),
        ("pow-vdn", VDNMixer, True, w.RecognizerWeighting),
        ("pow-qplex", DuplexDuelingMixer, True, w.RecognizerWeighting),
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


@pytest.mark.parametrize("preset", ["paper", "iclr2026"])
@pytest.mark.parametrize("env", ["matrix/powqmix", "predator_prey", "skirmish/3m"])
def test_weights_are_an_algorithms_own_under_every_preset(env: str, preset: str) -> None:
    own = {
        "qmix": (1, 1), "vdn": (1, 1), "qplex": (1, 1), "resq": (1, 1), "cw-qmix": (1, 0.1), "ow-qmix": (1, 0.1),
        "qmix-5": (5, 5), "cw-qmix-5": (5, 0), "ow-qmix-5": (5, 0),
    }  # fmt: skip
    for algorithm, weights in own.items():
        weighting = config.resolve(env, algorithm, preset).weighting
        assert (weighting.recognized_weight, weighting.other_weight) == weights
        assert weighting.warmup_steps == 0
    any_pair = ["weighting.recognized_weight=10", "weighting.other_weight=0.5"]
    weighting = config.resolve(env, "cw-qmix", preset, assignments=any_pair).weighting
    assert (weighting.recognized_weight, weighting.other_weight) == (10, 0.5)


def test_constants_of_the_baselines_are_their_authors() -> None:
    qplex, qtran = config.resolve("predator_prey", "qplex").qplex, config.resolve("predator_prey", "qtran").qtran
    assert (qplex.heads, qplex.hidden_size) == (4, 64)
    assert (qtran.hidden_size, qtran.opt_weight, qtran.nopt_weight) == (64, 1.0, 0.1)
    resq = build_objective(config.resolve("predator_prey", "resq"), SPEC, POLICY)
    assert isinstance(resq, ResidualObjective)
    for part in (resq.residual, resq.critic):
        assert part is not None
        assert isinstance(part.mixer, CentralMixer)
        assert part.mixer.trunk[2].weight.shape == (128, 128)


@pytest.mark.parametrize("algorithm", sorted(OBJECTIVES))
def test_what_is_said_of_an_algorithm_is_what_is_built(algorithm: str) -> None:
    row = OBJECTIVES[algorithm]
    settings = config.resolve("predator_prey", algorithm)
    policy = dataclasses.replace(POLICY, action_selection=settings.agent.action_selection)
    said, built = row.composition(), build_objective(settings, SPEC, policy)
    assert (said["recognizer"] is not None) == (built.recognizer is not None)
    assert (said["critic"] == "central") == isinstance(getattr(built, "critic", None), JointValue)
    assert (row.composition()["mixer"] is None) == bool(built.critics())
    assert row.about
    assert row.paper


def test_an_unknown_algorithm_is_refused_with_the_near_ones() -> None:
    unknown = dataclasses.replace(config.resolve("predator_prey"), algorithm="qmux")
    with pytest.raises(ConfigError, match=r"unknown algorithm 'qmux'; did you mean .*qmix"):
        build_objective(unknown, SPEC, POLICY)
