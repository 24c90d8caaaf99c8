"""Parts: what objectives are made of, in the sizes of an environment and a configuration."""

from __future__ import annotations

from powqmix.config import Config
from powqmix.modules import (
    CentralMixer,
    DuplexDuelingMixer,
    Mixer,
    MonotonicMixer,
    Recognizer,
    RecurrentAgent,
    VDNMixer,
)
from powqmix.types import EnvSpec, PolicySpec

from .joint_value import JointValue
from .weighting import RecognizerWeighting, Weighting


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
