"""A learner's side with a ring, and actors' links to it over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from powqmix.actors.link import Link
from powqmix.learner.receiver import Receiver
from powqmix.learner.replay import ReplayRing
from powqmix.types import EnvSpec, EpisodeSchema, episode_schema
from powqmix.wire import messages as m

from ..wire.episodes import SCHEMA, SPEC, as_bytes, episode
from ..wire.world import Throttle

COUNT = 10  # parameters
DEADLINE_S = 20.0
LARGE = episode_schema(EnvSpec(SPEC.id, n_agents=10, n_actions=11, obs_size=100, state_size=200, episode_limit=120))


def poll(condition: Callable[[], Any], *links: Link) -> None:
    """Lets the links work until `condition` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        for link in links:
            link.pump(2)


def send(link: Link, actor: int, count: int) -> None:
    for _ in range(count):
        link.send(episode(link.window.offered + 1, actor, link.schema))


class Bench:
    """A learner's side with a ring, and links to it; everything is closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/wire"
        self.parameters_path = ""
        self.throttle = Throttle(10**6)
        self.ring = ReplayRing.create(folder / "ring", SCHEMA, 5000)
        self.version = 5
        self.tests: list[tuple[int, list[float], list[bool], list[int]]] = []
        self.links: list[Link] = []
        self.receivers: list[Receiver] = []

    def receiver(self, sink: Any = None, lockstep: bool = False) -> Receiver:
        receiver = Receiver(
            self.endpoint,
            run_id="run",
            env_id=SPEC.id,
            schema=self.ring.schema,
            sink=sink or self.ring,
            limiter=self.throttle,
            parameter_version=lambda: self.version,
            epsilon=lambda: 0.25,
            parameters=lambda: (self.version, np.full(COUNT, self.version, np.float32).tobytes()),
            parameters_path=self.parameters_path,
            credit=4,
            lockstep=lockstep,
            on_test_result=lambda *result: self.tests.append(result),
        )
        self.receivers.append(receiver)
        receiver.start()
        return receiver

    def link(self, actor: int = 0, role: m.Role = "train", schema: EpisodeSchema = SCHEMA, run_id: str = "run") -> Link:
        link = Link(
            self.endpoint, run_id=run_id, env_id=SPEC.id, schema=schema, parameter_count=COUNT, actor=actor, role=role
        )
        self.links.append(link)
        return link

    def payloads(self) -> dict[tuple[int, int], bytes]:
        """What the ring holds, by actor and sequence number."""
        slots = self.ring.stored()
        records = self.ring.records(slots)
        keys = zip(records["actor"].tolist(), records["seq"].tolist())
        return {key: bytes(self.ring.payload(slot)) for key, slot in zip(keys, slots.tolist())}

    def sent(self, actors: int, episodes: int) -> dict[tuple[int, int], bytes]:
        """What the ring should hold."""
        keys = [(actor, seq) for actor in range(actors) for seq in range(1, episodes + 1)]
        return {(a, s): b"".join(as_bytes(episode(s, a, self.ring.schema))) for a, s in keys}

    def close(self) -> None:
        for link in self.links:
            link.close()
        for receiver in self.receivers:
            receiver.stop()
        self.ring.close()
