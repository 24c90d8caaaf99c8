"""A learner that learns nothing: the real receiver, real actor processes, and a sink that only counts.

With it actors and wire are measured as they are in a run, but for the update and the replay ring.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from powqmix import config as configuration
from powqmix import envs
from powqmix.config import Config
from powqmix.learner.receiver import Receiver
from powqmix.process import PARENT_VARIABLE
from powqmix.types import Array, PolicySpec, episode_schema
from powqmix.wire.messages import EpisodeHeader
from powqmix.wire.parameters import ParameterWriter

from .errors import CommandError
from .timing import Stages

PUBLISH_EVERY_S = 0.05  # a new version of the parameters: 20 updates a second
TURN_S = 0.02  # a turn waits so long for messages
PAUSE_S = 0.001
START_WITHIN_S = 120.0  # for all actors to be there: so many may have to share few cores
LEAVE_WITHIN_S = 10.0


class NullSink:
    """Takes episodes as the replay ring does, and keeps their counts."""

    def __init__(self) -> None:
        self.episodes = self.env_steps = self.nbytes = 0
        self._last: dict[tuple[int, int], int] = {}

    def insert(self, header: EpisodeHeader, frames: list[Any], *, actor: int, incarnation: int, seq: int) -> None:
        self._last[actor, incarnation] = seq
        self.episodes += 1
        self.env_steps += header.steps
        self.nbytes += sum(len(frame) for frame in frames)

    def last_seq(self, actor: int, incarnation: int) -> int:
        return self._last.get((actor, incarnation), 0)


class _NoLimit:
    def headroom(self) -> int:
        return 2**31


@dataclass(frozen=True)
class Fleet:
    """The actors of a measurement: how many, what each holds, and whether its steps only sleep."""

    actors: int
    envs_per_actor: int
    sleep_ms: float | None = None


class NullLearner:
    """Receiver, parameters and the folder of a run that is none, for a fleet of actors.

    A context manager; one thread calls it.
    """

    def __init__(self, config: Config, fleet: Fleet) -> None:
        actors = dataclasses.replace(config.actors, count=fleet.actors, envs_per_actor=fleet.envs_per_actor)
        self.config, self.fleet = dataclasses.replace(config, actors=actors), fleet
        spec = envs.spec(config.env_id, **config.env)
        policy = config.agent.policy(spec)
        self._vector = initial_parameters(policy)
        self._folder = tempfile.TemporaryDirectory(prefix="powqmix-")
        self.folder = Path(self._folder.name)
        configuration.save(self.config, self.folder / "config.yaml")
        self.sink = NullSink()
        self._writer = ParameterWriter(self.folder / "parameters", policy.parameter_count)
        self._publish_at = 0.0
        self.publish()
        self.receiver = Receiver(
            self.endpoint,
            run_id=self.folder.name,
            env_id=config.env_id,
            schema=episode_schema(spec, config.replay.dtype),
            sink=self.sink,
            limiter=_NoLimit(),
            parameter_version=lambda: self._writer.version,
            epsilon=lambda: config.exploration.epsilon_finish,
            parameters=lambda: (self._writer.version, self._vector.tobytes()),
            parameters_path=str(self._writer.path),
            credit=self.config.actors.window,
            lockstep=False,
            on_test_result=lambda *_: None,
        )
        # By turn and not by message, of which there are thousands a second.
        self.stages = Stages(lambda: None)
        self.stages.begin_round()
        self.stages.wrap(self.receiver._poller, "poll", "wait")
        self.stages.wrap(self.receiver, "_receive", "messages")

    @property
    def endpoint(self) -> str:
        return f"ipc://{self.folder}/learner"

    def __enter__(self) -> NullLearner:
        return self

    def __exit__(self, *_: object) -> None:
        self.receiver.stop()
        self._writer.close()
        self._folder.cleanup()

    def publish(self) -> None:
        self._writer.write(self._vector, self._writer.version + 1)
        self._publish_at = time.monotonic() + PUBLISH_EVERY_S

    def serve(self, until: Callable[[], bool]) -> None:
        """Takes turns at the receiver, and publishes, until `until` is true.

        At most one turn in PAUSE_S: a learner takes them between its updates, not for every message.
        """
        while not until():
            self.receiver.turn(TURN_S)
            time.sleep(PAUSE_S)
            if time.monotonic() >= self._publish_at:
                self.publish()

    def serve_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.serve(lambda: time.monotonic() >= end)

    @contextlib.contextmanager
    def actors(self) -> Iterator[list[psutil.Process]]:
        """Starts the fleet, waits until all are there, and sees them off in the end. Raises CommandError."""
        children = [self._start(actor) for actor in range(self.fleet.actors)]
        try:
            self._await(children)
            yield [psutil.Process(child.pid) for child in children]
            self.receiver.drain()
            deadline = time.monotonic() + LEAVE_WITHIN_S
            self.serve(lambda: all(c.poll() is not None for c in children) or time.monotonic() > deadline)
        finally:
            for child in children:
                if child.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                child.wait()

    def stages_of(self, actor: int) -> dict[str, Any]:
        """What an actor wrote when it left (actors/stages.py)."""
        report: dict[str, Any] = json.loads(self._stages_path(actor).read_text(encoding="utf-8"))
        return report

    def _stages_path(self, actor: int) -> Path:
        return self.folder / f"stages-{actor}.json"

    def _start(self, actor: int) -> subprocess.Popen[bytes]:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        sleep_ms = self.fleet.sleep_ms
        sleep = [] if sleep_ms is None else ["--sleep-ms", str(sleep_ms)]
        with (self.folder / "actors.log").open("ab") as log:
            return subprocess.Popen(
                [
                    sys.executable, "-m", "powqmix.actors", "--run-dir", str(self.folder), "--endpoint", self.endpoint,
                    "--actor", str(actor), "--envs", str(self.fleet.envs_per_actor), *sleep,
                    "--stages", str(self._stages_path(actor)),
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | threads | {PARENT_VARIABLE: str(os.getpid())},
            )  # fmt: skip

    def _await(self, children: list[subprocess.Popen[bytes]]) -> None:
        deadline = time.monotonic() + START_WITHIN_S

        def settled() -> bool:
            dead = any(child.poll() is not None for child in children)
            return dead or len(self.receiver._sessions.present()) == len(children) or time.monotonic() > deadline

        self.serve(settled)
        present = len(self.receiver._sessions.present())
        if present < len(children):
            log = (self.folder / "actors.log").read_text(encoding="utf-8", errors="replace")
            raise CommandError(f"{present} of {len(children)} actors came; their log:\n{log[-2000:]}")


def initial_parameters(policy: PolicySpec) -> Array:
    """f32 [parameter_count], uniform as torch initialises these layers."""
    bound = policy.hidden_size**-0.5
    return np.random.default_rng(0).uniform(-bound, bound, policy.parameter_count).astype(np.float32)


def measure(learner: NullLearner, seconds: float, warm_up_s: float) -> dict[str, Any]:
    """Rates of a fleet over `seconds`, after `warm_up_s` with all of its actors there.

    Processor time is of whole processes, ZeroMQ's threads included. `parameter_lag`: how many versions were published
    between an episode's start and its arrival, one every PUBLISH_EVERY_S. `pss_mb`: memory of all actors together,
    with what they share counted once (Linux's proportional set size).
    """
    with learner.actors() as processes:
        learner.serve_for(warm_up_s)
        sink = learner.sink
        before = sink.env_steps, sink.episodes, sink.nbytes
        learner.receiver._sessions.lags.clear()
        actors_before, own_before, start = _cpu_s(processes), time.process_time(), time.monotonic()
        learner.serve_for(seconds)
        passed = time.monotonic() - start
        actors_s, own_s = _cpu_s(processes) - actors_before, time.process_time() - own_before
        steps, episodes, nbytes = sink.env_steps - before[0], sink.episodes - before[1], sink.nbytes - before[2]
        lag = learner.receiver.counters()["lag"]
        pss = _pss_bytes(processes)
    counters = learner.receiver.counters()
    return {
        "actors": learner.fleet.actors,
        "envs_per_actor": learner.fleet.envs_per_actor,
        "env_steps_per_second": steps / passed,
        "episodes_per_second": episodes / passed,
        "steps_per_episode": steps / max(episodes, 1),
        "mb_per_second": nbytes / passed / 1e6,
        "actors_cores": actors_s / passed,
        "receiver_cores": own_s / passed,
        "receiver_us_per_episode": 1e6 * own_s / max(episodes, 1),
        "parameter_lag_median": lag.get("parameter_lag_median"),
        "parameter_lag_p99": lag.get("parameter_lag_p99"),
        "published_every_ms": 1000 * PUBLISH_EVERY_S,
        "pss_mb": None if pss is None else pss / 1e6,
        "lost": counters["lost"],
        "rejected": counters["rejected"],
    }  # fmt: skip


def _cpu_s(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        times = process.cpu_times()
        total += times.user + times.system
    return total


def _pss_bytes(processes: list[psutil.Process]) -> int | None:
    """None where the system does not say."""
    try:
        return sum(int(process.memory_full_info().pss) for process in processes)
    except (AttributeError, psutil.Error):
        return None
