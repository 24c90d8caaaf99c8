"""Objectives: what is minimised, given a batch of episodes; `build_objective` makes that of an algorithm."""

from .build import OBJECTIVES, build_objective
from .objective import JointGrid, Losses, Objective, Transitions

__all__ = ["OBJECTIVES", "JointGrid", "Losses", "Objective", "Transitions", "build_objective"]
