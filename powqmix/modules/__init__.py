"""The networks: agents, mixers, the central critic's mixer, the recognizer. Each gets sizes, never a configuration."""

from .agent import RecurrentAgent, last_actions, take
from .central import CentralMixer
from .dueling import DuplexDuelingMixer
from .gumbel import GumbelNoise
from .mixers import Mixer, MonotonicMixer, VDNMixer
from .policy_critics import CounterfactualCritic, HypernetCritic, JointActionCritic
from .qtran import TransformedJointValue
from .recognizer import Recognizer, RecognizerOutput
from .soft_factorization import SoftFactorization

__all__ = [
    "CentralMixer",
    "CounterfactualCritic",
    "DuplexDuelingMixer",
    "GumbelNoise",
    "HypernetCritic",
    "JointActionCritic",
    "Mixer",
    "MonotonicMixer",
    "Recognizer",
    "RecognizerOutput",
    "RecurrentAgent",
    "SoftFactorization",
    "TransformedJointValue",
    "VDNMixer",
    "last_actions",
    "take",
]
