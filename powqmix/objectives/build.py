"""build_objective: the one place that chooses what an algorithm is made of."""

from __future__ import annotations

from powqmix.config import Config, ConfigError, near
from powqmix.types import EnvSpec, PolicySpec

from .objective import Objective
from .parts import Parts
from .policy_algorithms import COMA, FOP, LICA, MADDPG, PolicyAlgorithm
from .value_algorithms import QTRAN, Algorithm, ResQ
from .weighting import (
    CentralWeighting,
    GreedyWeighting,
    OptimisticWeighting,
    RecognizerWeighting,
    UniformWeighting,
)

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
