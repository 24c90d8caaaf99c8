"""build_objective: the one place that chooses what an algorithm is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from powqmix.config import Config, ConfigError, near
from powqmix.modules import CentralMixer, Mixer, MonotonicMixer, Recognizer, RecurrentAgent, VDNMixer
from powqmix.types import EnvSpec, PolicySpec

from .joint_value import JointValue
from .objective import Objective
from .weighted_td import WeightedTDObjective
from .weighting import (
    CentralWeighting,
    GreedyWeighting,
    OptimisticWeighting,
    RecognizerWeighting,
    UniformWeighting,
    Weighting,
)


class Parts:
    """Makes the parts of an objective, each with the sizes it needs."""

    def __init__(self, config: Config, spec: EnvSpec, policy: PolicySpec) -> None:
        self.config, self.spec, self.policy = config, spec, policy

    def agent(self) -> RecurrentAgent:
        return RecurrentAgent(self.policy)

    def vdn(self) -> Mixer:
        return VDNMixer()

    def monotonic(self) -> Mixer:
        sizes = self.config.mixer
        return MonotonicMixer(self.spec.n_agents, self.spec.state_size, sizes.embed_size, sizes.hypernet_size)

    def critic(self) -> JointValue:
        mixer = CentralMixer(self.spec.n_agents, self.spec.state_size, self.config.critic.hidden_size)
        return JointValue(self.agent(), mixer)

    def recognizer(self) -> Recognizer:
        sizes, spec = self.config.recognizer, self.spec
        return Recognizer(spec.n_agents, spec.n_actions, spec.state_size, sizes.embed_size, sizes.hidden_size)


@dataclass(frozen=True)
class Composition:
    """A row of the table of algorithms. `weighting` is None where a recognizer weighs."""

    mixer: Callable[[Parts], Mixer]
    critic: bool
    weighting: type[Weighting] | None

    def build(self, parts: Parts) -> Objective:
        weights = parts.config.weighting.recognized_weight, parts.config.weighting.other_weight
        td_lambda = parts.config.training.td_lambda
        agent, mixer = parts.agent(), self.mixer(parts)
        critic = parts.critic() if self.critic else None
        if self.weighting is not None:
            weighting = self.weighting(*weights)
        else:
            tolerance = parts.config.recognizer.recognition_tolerance
            weighting = RecognizerWeighting(
                parts.recognizer(), *weights, td_lambda=td_lambda, recognition_tolerance=tolerance
            )
        return WeightedTDObjective(agent, mixer, weighting, critic=critic, td_lambda=td_lambda)


# An algorithm is a row: how its objective is built of parts.
OBJECTIVES: dict[str, Callable[[Parts], Objective]] = {
    "vdn": Composition(Parts.vdn, critic=False, weighting=UniformWeighting).build,
    "qmix": Composition(Parts.monotonic, critic=False, weighting=UniformWeighting).build,
    "cw-qmix": Composition(Parts.monotonic, critic=True, weighting=CentralWeighting).build,
    "ow-qmix": Composition(Parts.monotonic, critic=True, weighting=OptimisticWeighting).build,
    "powqmix": Composition(Parts.monotonic, critic=True, weighting=None).build,
    "pow-vdn": Composition(Parts.vdn, critic=True, weighting=None).build,
    "powqmix-opt": Composition(Parts.monotonic, critic=True, weighting=GreedyWeighting).build,
}


def build_objective(config: Config, spec: EnvSpec, policy: PolicySpec) -> Objective:
    """The objective of `config.algorithm`, with networks of the sizes of `spec` and `policy`, newly initialised.

    Raises ConfigError on an algorithm that is not there.
    """
    build = OBJECTIVES.get(config.algorithm)
    if build is None:
        raise ConfigError(f"unknown algorithm {config.algorithm!r}; {near(config.algorithm, OBJECTIVES)}")
    return build(Parts(config, spec, policy))
