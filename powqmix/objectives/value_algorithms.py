"""Rows of the table of algorithms that factorize a joint value: mixer, critic, weighting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from powqmix.modules import Mixer, TransformedJointValue

from .objective import Objective
from .parts import Parts
from .qtran import QTRANObjective
from .residual import ResidualObjective
from .weighted_td import WeightedTDObjective
from .weighting import RecognizerWeighting, Weighting


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
