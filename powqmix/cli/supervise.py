"""The processes of a run: started in groups of their own, restarted while there is hope, and none left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from powqmix.config import Config
from powqmix.files import read_json, write_json
from powqmix.process import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    PARENT_VARIABLE,
)

from .display import Display
from .rundir import times_resumed
from .summary import failed_summary, finished_summary

RESTARTS_ALLOWED, RESTARTS_WITHIN_S = 10, 600.0  # of one actor; beyond it is set aside
RESTART_PAUSE_S = 0.5  # before a second restart: a process that dies at once shall not take a core
DRAIN_S = 15.0  # from Ctrl-C to the end, at most
LEAVE_S = 2.0  # for actors whose learner has ended
POLL_S = 0.05
LAUNCH_STARTS = 1000  # starts of an actor's place are numbered on from this, times how often the run was resumed


@dataclass
class Child:
    """A process and how to start it again."""

    name: str
    arguments: list[str]
    log: Path
    first_start: int | None = None  # number of its first start; None: it is not told
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    died_at: deque[float] = field(default_factory=deque)
    start_at: float = 0.0  # not before
    set_aside: bool = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        number = [] if self.first_start is None else ["--start", str(self.first_start + self.restarts)]
        environment = os.environ | {PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        if self.first_start is not None:  # actors: one core each, so that numpy's threads do not fight over it
            environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.arguments, *number],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip

    def signal(self, number: int) -> None:
        """To the whole group: what the process started goes with it."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def last_words(self, lines: int = 12) -> str:
        """The end of its log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(text[-lines:])


@dataclass
class Processes:
    """All processes of a run, and the folder of their socket."""

    learner: Child
    actors: list[Child]  # those that train, then the evaluator
    socket_folder: Path


def plan_processes(path: Path, config: Config, *, resume: bool) -> Processes:
    """What to start for the run in `path`; nothing is started yet."""
    # ipc paths are limited to about 107 bytes, so the socket is not in the run's folder.
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(tempfile.mkdtemp(prefix="powqmix-", dir=base if base and os.access(base, os.W_OK) else None))
    common = ["--run-dir", str(path), "--endpoint", f"ipc://{folder}/learner"]
    first_start = times_resumed(path) * LAUNCH_STARTS

    def actor(index: int, role: str, num_envs: int) -> Child:
        name = "evaluator" if role == "test" else f"actor-{index}"
        arguments = [
            "powqmix.actors", *common, "--actor", str(index), "--role", role, "--envs", str(num_envs),
        ]  # fmt: skip
        return Child(name, arguments, path / "logs" / f"{name}.log", first_start)

    learner = Child(
        "learner", ["powqmix.learner", *common, *(["--resume"] if resume else [])], path / "logs" / "learner.log"
    )
    actors = [actor(i, "train", config.actors.envs_per_actor) for i in range(config.actors.count)]
    return Processes(learner, [*actors, actor(config.actors.count, "test", 1)], folder)


class Supervisor:
    """Runs the processes to the run's end. Main thread only: it takes over SIGINT, SIGTERM and SIGHUP meanwhile."""

    def __init__(self, path: Path, processes: Processes, config: Config, display: Display) -> None:
        self.path, self.config, self.display = path, config, display
        self.learner, self.actors = processes.learner, processes.actors
        self.socket_folder = processes.socket_folder
        self.summary: dict[str, Any] = {}
        self._interrupts = 0
        self._drain_by = float("inf")
        self._started = time.monotonic()

    @property
    def restarts(self) -> int:
        return sum(actor.restarts for actor in self.actors)

    def run(self) -> int:
        """Starts everything, waits for the end, writes summary.json, and returns the exit code."""
        before = {n: signal.signal(n, self._on_signal) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        for stale in ("learner_summary.json", "status.json"):
            (self.path / stale).unlink(missing_ok=True)
        try:
            with self.display:
                for child in (self.learner, *self.actors):
                    child.start()
                try:
                    self._watch()
                finally:
                    self._end_all()
            return self._conclude()
        finally:
            shutil.rmtree(self.socket_folder, ignore_errors=True)
            for number, handler in before.items():
                signal.signal(number, handler)

    # -- While it runs ---------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Returns when the learner has ended, the run is hopeless, or the user will not wait."""
        drain_sent = False
        while self.learner.alive:
            now = time.monotonic()
            if self._interrupts and not drain_sent:
                drain_sent = True
                self.learner.signal(signal.SIGTERM)
                self.display.note("draining: a checkpoint and the summary are written; Ctrl-C again ends at once")
            if self._interrupts > 1 or now > self._drain_by:
                return
            if not drain_sent:
                self._replace_dead_actors(now)
                if sum(not a.set_aside for a in self.actors[:-1]) < self.config.actors.min_alive:
                    self.display.note("too few actors are left; the run ends")
                    return
            self.display.update(read_json(self.path / "status.json"), self._alive(), self.restarts)
            time.sleep(POLL_S)

    def _alive(self) -> int:
        return sum(actor.alive for actor in self.actors[:-1])

    def _replace_dead_actors(self, now: float) -> None:
        phase = read_json(self.path / "status.json").get("phase")
        if phase in ("draining", "done", "interrupted"):
            return  # they leave because the learner asked them to
        for actor in self.actors:
            if actor.set_aside or actor.alive or actor.process is None:
                continue
            if actor.start_at == 0.0:
                self._note_death(actor, now)
            if not actor.set_aside and now >= actor.start_at:
                actor.restarts += 1
                actor.start_at = 0.0
                actor.start()

    def _note_death(self, actor: Child, now: float) -> None:
        """Decides whether and when a dead actor is started again."""
        assert actor.process is not None
        code = actor.process.returncode
        actor.signal(signal.SIGKILL)  # what it had started
        while actor.died_at and now - actor.died_at[0] > RESTARTS_WITHIN_S:
            actor.died_at.popleft()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if code == EXIT_REFUSED:
            actor.set_aside = True
            self.display.note(f"{actor.name} was refused and is not started again:\n{actor.last_words(2)}")
        elif len(actor.died_at) >= RESTARTS_ALLOWED:
            actor.set_aside = True
            self.display.note(
                f"{actor.name} died {RESTARTS_ALLOWED + 1} times within {RESTARTS_WITHIN_S / 60:.0f} minutes and is "
                f"set aside; the end of {actor.log}:\n{actor.last_words()}"
            )
        else:
            actor.start_at = now + (RESTART_PAUSE_S if actor.died_at else 0.0)
            self.display.note(f"{actor.name} {how}; starting it again")
        actor.died_at.append(now)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        self._drain_by = min(self._drain_by, time.monotonic() + DRAIN_S)

    # -- The end ---------------------------------------------------------------------------------------------------

    def _end_all(self) -> None:
        """Leaves no process: those of an ended learner may leave by themselves, the rest is killed."""
        if not self.learner.alive and self.learner.process is not None and self.learner.process.returncode == 0:
            deadline = time.monotonic() + LEAVE_S
            while any(actor.alive for actor in self.actors) and time.monotonic() < deadline:
                time.sleep(0.01)
        for child in (self.learner, *self.actors):
            child.signal(signal.SIGKILL)
        for child in (self.learner, *self.actors):
            if child.process is not None:
                child.process.wait()

    def _conclude(self) -> int:
        assert self.learner.process is not None
        learner_code = self.learner.process.returncode
        finished = read_json(self.path / "learner_summary.json")
        if learner_code == 0 and finished:
            status = "interrupted" if self._interrupts else "done"
            self.summary = finished_summary(finished, status, self.restarts)
            code = EXIT_INTERRUPTED if self._interrupts else EXIT_DONE
        elif learner_code == EXIT_REFUSED:
            self.display.note(self.learner.last_words(3))
            return EXIT_REFUSED
        else:
            status = "interrupted" if self._interrupts else "failed"
            last = read_json(self.path / "status.json")
            self.summary = failed_summary(self.config, last, status, self.restarts, time.monotonic() - self._started)
            code = EXIT_INTERRUPTED if self._interrupts else EXIT_FAILED
            if status == "failed":
                self.display.note(f"the learner ended; the end of {self.learner.log}:\n{self.learner.last_words()}")
        write_json(self.path / "summary.json", self.summary)
        self.display.conclude(self.summary)
        return code
