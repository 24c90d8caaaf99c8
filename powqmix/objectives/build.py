"""build_objective: the one place that chooses what an algorithm is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from powqmix.config import Config, ConfigError, near
from powqmix.modules import (
    CentralMixer,
    DuplexDuelingMixer,
    Mixer,
    MonotonicMixer,
    Recognizer,
    RecurrentAgent,
    TransformedJointValue,
    VDNMixer,
)
from powqmix.types import EnvSpec, PolicySpec

from .joint_value import JointValue
from .objective import Objective
from .policy_algorithms import COMA, FOP, LICA, MADDPG, PolicyAlgorithm
from .qtran import QTRANObjective
from .residual import ResidualObjective
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

    def duplex_dueling(self) -> Mixer:
        sizes, spec = self.config.qplex, self.spec
        return DuplexDuelingMixer(
            spec.n_agents, spec.n_actions, spec.state_size,
            hypernet_size=self.config.mixer.hypernet_size, heads=sizes.heads, hidden_size=sizes.hidden_size,
        )  # fmt: skip

    def critic(self) -> JointValue:
        mixer = CentralMixer(self.spec.n_agents, self.spec.state_size, self.config.critic.hidden_size)
        return JointValue(self.agent(), mixer)

    def recognizer(self) -> Recognizer:
        sizes, spec = self.config.recognizer, self.spec
        return Recognizer(spec.n_agents, spec.n_actions, spec.state_size, sizes.embed_size, sizes.hidden_size)

    def weighting(self, kind: type[Weighting]) -> Weighting:
        weights = self.config.weighting.recognized_weight, self.config.weighting.other_weight
        if kind is not RecognizerWeighting:
            return kind(*weights)
        return RecognizerWeighting(
            self.recognizer(),
            *weights,
            td_lambda=self.config.training.td_lambda,
            recognition_tolerance=self.config.recognizer.recognition_tolerance,
        )


@dataclass(frozen=True)
class Algorithm:
    """A row of the table of algorithms: what it is made of, one line about it, and where it comes from."""

    mixer: Callable[[Parts], Mixer]
    critic: bool
    weighting: type[Weighting]
    about: str
    paper: str

    def build(self, parts: Parts) -> Objective:
        return WeightedTDObjective(
            parts.agent(),
            self.mixer(parts),
            critic=parts.critic() if self.critic else None,
            weighting=parts.weighting(self.weighting),
            td_lambda=parts.config.training.td_lambda,
        )

    def composition(self) -> dict[str, str | None]:
        """The parts by name: mixer, critic, recognizer, weighting."""
        return {
            "mixer": self.mixer.__name__,
            "critic": "central" if self.critic else None,
            "recognizer": "recognizer" if self.weighting is RecognizerWeighting else None,
            "weighting": self.weighting.__name__.removesuffix("Weighting").lower(),
        }


class ResQ(Algorithm):
    """Adds the residual."""

    def build(self, parts: Parts) -> Objective:
        return ResidualObjective(
            parts.agent(),
            self.mixer(parts),
            critic=parts.critic(),
            residual=parts.critic(),  # the same network, of agents of its own [resq]
            weighting=parts.weighting(self.weighting),
            td_lambda=parts.config.training.td_lambda,
        )

    def composition(self) -> dict[str, str | None]:
        return {**super().composition(), "mixer": f"{self.mixer.__name__} + residual"}


class QTRAN(Algorithm):
    """Fits the agents' sum to a joint value by constraints; there are no weights."""

    def build(self, parts: Parts) -> Objective:
        sizes, spec = parts.config.qtran, parts.spec
        joint = TransformedJointValue(spec.n_actions, spec.state_size, parts.policy.hidden_size, sizes.hidden_size)
        return QTRANObjective(
            parts.agent(), joint, opt_weight=sizes.opt_weight, nopt_weight=sizes.nopt_weight
        )  # fmt: skip

    def composition(self) -> dict[str, str | None]:
        return {**super().composition(), "critic": "transformed joint value", "weighting": None}


POWQMIX = "Huang et al., arXiv 2405.08036"
POW = "Huang et al., ICLR 2026"
VDN = "Sunehag et al., AAMAS 2018, arXiv 1706.05296"
QMIX = "Rashid et al., ICML 2018, arXiv 1803.11485; tuned as by Hu et al., arXiv 2102.03479"
WQMIX = "Rashid et al., NeurIPS 2020, arXiv 2006.10800"
QPLEX = "Wang et al., ICLR 2021, arXiv 2008.01062"
RESQ = "Shen et al., NeurIPS 2022"
SON = "Son et al., ICML 2019, arXiv 1905.05408"
LOWE = "Lowe et al., NeurIPS 2017, arXiv 1706.02275; discrete as by Papoudakis et al., arXiv 2006.07869"
FOERSTER = "Foerster et al., AAAI 2018, arXiv 1705.08926"
ZHOU = "Zhou et al., NeurIPS 2020, arXiv 2007.02529"
ZHANG = "Zhang et al., ICML 2021"

# An algorithm is a row: mixer, whether there is a critic, weighting, what it does, where it comes from. Of algorithms
# whose agents are policies a row has the last two.
OBJECTIVES: dict[str, Algorithm | PolicyAlgorithm] = {
    "powqmix": Algorithm(
        Parts.monotonic, True, RecognizerWeighting,
        "the joint actions that a recognizer finds potentially optimal have the high weight", POWQMIX,
    ),
    "pow-vdn": Algorithm(Parts.vdn, True, RecognizerWeighting, "the recognizer's weights with VDN's sum", POW),
    "pow-qplex": Algorithm(
        Parts.duplex_dueling, True, RecognizerWeighting, "the recognizer's weights with QPLEX's mixer", POW,
    ),
    "powqmix-opt": Algorithm(
        Parts.monotonic, True, GreedyWeighting,
        "ablation of powqmix: the greedy joint action alone has the high weight", POWQMIX,
    ),
    "qmix": Algorithm(Parts.monotonic, False, UniformWeighting, "monotonic mixing, every joint action alike", QMIX),
    "vdn": Algorithm(Parts.vdn, False, UniformWeighting, "the sum of the agents' values", VDN),
    "qplex": Algorithm(
        Parts.duplex_dueling, False, UniformWeighting,
        "duplex dueling: all functions that share their argmax with the agents", QPLEX,
    ),
    "cw-qmix": Algorithm(
        Parts.monotonic, True, CentralWeighting,
        "high weight where an unrestricted critic sees a better joint action", WQMIX,
    ),
    "ow-qmix": Algorithm(
        Parts.monotonic, True, OptimisticWeighting, "high weight where Q_tot underestimates its target", WQMIX,
    ),
    "resq": ResQ(
        Parts.monotonic, True, UniformWeighting, "a residual, at most 0, lowers all but the greedy joint action", RESQ,
    ),
    "qtran": QTRAN(
        Parts.vdn, False, UniformWeighting,
        "fits the agents' sum to an unrestricted joint value by two constraints", SON,
    ),
    "qmix-5": Algorithm(Parts.monotonic, False, UniformWeighting, "ablation: qmix with weight 5", POWQMIX),
    "cw-qmix-5": Algorithm(Parts.monotonic, True, CentralWeighting, "ablation: cw-qmix with weights 5 and 0", POWQMIX),
    "ow-qmix-5": Algorithm(
        Parts.monotonic, True, OptimisticWeighting, "ablation: ow-qmix with weights 5 and 0", POWQMIX,
    ),
    "maddpg": MADDPG("policies climb a critic of joint actions, through relaxed draws, off-policy", LOWE),
    "coma": COMA("policy gradients; the baseline is what the agent's other actions would be worth", FOERSTER),
    "lica": LICA("policies climb a critic that mixes their probabilities; a steady push for entropy", ZHOU),
    "fop": FOP("soft policies of agents whose soft values factorize the joint one, off-policy", ZHANG),
}  # fmt: skip


def build_objective(config: Config, spec: EnvSpec, policy: PolicySpec) -> Objective:
    """The objective of `config.algorithm`, with networks of the sizes of `spec` and `policy`, newly initialised.

    Raises ConfigError on an algorithm that is not there.
    """
    algorithm = OBJECTIVES.get(config.algorithm)
    if algorithm is None:
        raise ConfigError(f"unknown algorithm {config.algorithm!r}; {near(config.algorithm, OBJECTIVES)}")
    return algorithm.build(Parts(config, spec, policy))
