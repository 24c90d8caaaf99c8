"""A replay ring of random episodes, in the bytes that actors send."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from powqmix.learner.replay import ReplayRing
from powqmix.types import EnvSpec, EpisodeSchema, episode_schema

SHORTEST = 0.35  # of the limit


class RandomRing:
    """Full from the start; `insert` puts more of the same episodes in place of the oldest."""

    def __init__(self, folder: Path, spec: EnvSpec, episodes: int) -> None:
        schema, rng = episode_schema(spec), np.random.default_rng(0)
        self.ring = ReplayRing.create(folder / "ring", schema, episodes)
        steps = rng.integers(int(SHORTEST * spec.episode_limit), spec.episode_limit + 1, episodes)
        self._episodes = [(int(length), random_episode(schema, int(length), rng)) for length in steps]
        self._inserted = 0
        self.insert(episodes)

    def insert(self, count: int) -> None:
        for _ in range(count):
            steps, content = self._episodes[self._inserted % len(self._episodes)]
            self._inserted += 1
            header: Any = SimpleNamespace(
                steps=steps, crc32=0, parameter_version=0, epsilon=0.0, terminated=True, truncated=False,
                episode_return=0.0, battle_won=False,
            )  # fmt: skip
            self.ring.insert(header, [content], actor=0, incarnation=1, seq=self._inserted)


def random_episode(schema: EpisodeSchema, steps: int, rng: np.random.Generator) -> bytes:
    """Features between -1 and 1, every action legal, terminated at the end."""
    parts = []
    for field in schema.fields:
        shape = (steps + field.extra_steps, *field.shape)
        if field.dtype.startswith("<f"):
            values = rng.random(shape, np.float32) * 2.0 - 1.0
        elif field.name == "actions":
            values = rng.integers(0, schema.n_actions, shape)
        elif field.name == "terminated":
            values = np.arange(steps) == steps - 1
        else:
            values = np.full(shape, 255)
        parts.append(values.astype(field.dtype).tobytes())
    return b"".join(parts)
