"""The networks: agents, mixers, the central critic's mixer, the recognizer. Each gets sizes, never a configuration."""

from .agent import RecurrentAgent, last_actions, take
from .central import CentralMixer
from .dueling import DuplexDuelingMixer
from .mixers import Mixer, MonotonicMixer, VDNMixer
from .qtran import TransformedJointValue
from .recognizer import Recognizer, RecognizerOutput

__all__ = [
    "CentralMixer",
    "DuplexDuelingMixer",
    "Mixer",
    "MonotonicMixer",
    "Recognizer",
    "RecognizerOutput",
    "RecurrentAgent",
    "TransformedJointValue",
    "VDNMixer",
    "last_actions",
    "take",
]
