"""Batched environments: `make` one by its id, step all of its copies at once.

    env = powqmix.envs.make("predator_prey", num_envs=64, seed=0, punishment=-2.0)
    env.reset()
    env.step(actions)  # int32 [E, N]; then env.obs, env.reward, ... are current

`BatchedEnv` says what an environment is; `registered` lists them; `spec` and `options` tell their sizes and options.
"""

from .base import Batch, BatchedEnv
from .registry import make, options, registered, spec

__all__ = ["Batch", "BatchedEnv", "make", "options", "registered", "spec"]
