"""Rows of the table of algorithms whose agents are policies: what judges them, and with which constants."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from powqmix.config import ConfigError
from powqmix.modules import CounterfactualCritic, HypernetCritic, JointActionCritic, SoftFactorization

from .coma import COMAObjective
from .fop import FOPObjective
from .lica import LICAObjective
from .maddpg import MADDPGObjective
from .objective import Objective
from .parts import Parts


@dataclass(frozen=True)
class PolicyAlgorithm(ABC):
    """A row whose agents are policies: what judges them, one line about it, and where it comes from."""

    about: str
    paper: str
    critic: ClassVar[str]

    def build(self, parts: Parts) -> Objective:
        if parts.policy.action_selection != "softmax":
            raise ConfigError(
                f"{parts.config.algorithm} trains a policy that actions are drawn from, but agent.action_selection is "
                f"{parts.policy.action_selection!r}; set agent.action_selection=softmax, its default"
            )
        return self.objective(parts)

    @abstractmethod
    def objective(self, parts: Parts) -> Objective:
        """The objective, for actors that draw their actions."""

    def composition(self) -> dict[str, str | None]:
        """As that of Algorithm; there are no weights."""
        return {"mixer": None, "critic": self.critic, "recognizer": None, "weighting": None}


class MADDPG(PolicyAlgorithm):
    critic = "joint actions"

    def objective(self, parts: Parts) -> Objective:
        config, spec = parts.config, parts.spec
        critic = JointActionCritic(spec.n_agents, spec.n_actions, spec.state_size, config.critic.hidden_size)
        return MADDPGObjective(
            parts.agent(), critic, seed=config.seed, td_lambda=config.training.td_lambda,
            logit_weight=config.maddpg.logit_weight, target_rate=config.maddpg.target_rate,
        )  # fmt: skip


class COMA(PolicyAlgorithm):
    critic = "counterfactual"

    def objective(self, parts: Parts) -> Objective:
        config, spec = parts.config, parts.spec
        critic = CounterfactualCritic(
            spec.n_agents, spec.n_actions, spec.obs_size, spec.state_size, config.critic.hidden_size
        )
        return COMAObjective(
            parts.agent(), critic, seed=config.seed, td_lambda=config.training.td_lambda,
            epsilon=config.exploration.epsilon,
        )  # fmt: skip


class LICA(PolicyAlgorithm):
    critic = "mixed policies"

    def objective(self, parts: Parts) -> Objective:
        config, spec, sizes = parts.config, parts.spec, parts.config.mixer
        critic = HypernetCritic(
            spec.n_agents, spec.n_actions, spec.state_size, sizes.embed_size, sizes.hypernet_size
        )  # fmt: skip
        return LICAObjective(
            parts.agent(), critic, seed=config.seed, td_lambda=config.training.td_lambda,
            entropy_weight=config.lica.entropy_weight,
        )  # fmt: skip


class FOP(PolicyAlgorithm):
    critic = "two soft values"

    def objective(self, parts: Parts) -> Objective:
        config = parts.config
        return FOPObjective(
            parts.agent(), self.factorization(parts), self.factorization(parts),
            seed=config.seed, td_lambda=config.training.td_lambda,
            epsilon=config.exploration.epsilon, temperature=config.fop.temperature,
        )  # fmt: skip

    @staticmethod
    def factorization(parts: Parts) -> SoftFactorization:
        config, spec = parts.config, parts.spec
        return SoftFactorization(
            spec.n_agents, spec.n_actions, spec.obs_size, spec.state_size,
            hidden_size=config.critic.hidden_size, embed_size=config.mixer.embed_size, heads=config.qplex.heads,
        )  # fmt: skip
