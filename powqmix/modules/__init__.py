"""The networks: agents, mixers, the central critic's mixer, the recognizer. Each gets sizes, never a configuration."""

from .agent import RecurrentAgent, last_actions, take
from .central import CentralMixer
from .mixers import Mixer, MonotonicMixer, VDNMixer
from .recognizer import Recognizer, RecognizerOutput

__all__ = [
    "CentralMixer",
    "Mixer",
    "MonotonicMixer",
    "Recognizer",
    "RecognizerOutput",
    "RecurrentAgent",
    "VDNMixer",
    "last_actions",
    "take",
]
