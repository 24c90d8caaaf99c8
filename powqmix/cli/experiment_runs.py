"""Planned runs as `powqmix launch` processes: k at a time, shown while they go, drained on Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from powqmix.files import read_json
from powqmix.process import PARENT_VARIABLE, RUNS_VARIABLE

from .display import count, duration, progress, tested, value
from .experiment_file import PlannedRun

POLL_S = 0.1
LINE_EVERY_S = 30.0  # without a terminal


def command_of(run: PlannedRun, actors: int, device: str | None) -> list[str]:
    """What starts the run, or goes on with it."""
    actors = 1 if run.config.lockstep else actors
    machine = ["--actors", str(actors), *(["--device", device] if device else [])]
    if run.state == "unfinished":
        return ["launch", "--resume", "--run-dir", str(run.path), *machine]
    config, values = run.config, [part for text in run.assignments for part in ("--set", text)]
    return [
        "launch", "--env", config.env_id, "--algorithm", config.algorithm, "--preset", config.preset,
        "--seed", str(run.seed), "--run-dir", str(run.path), *machine, *values,
    ]  # fmt: skip


@dataclass
class Going:
    """A run that is on its way."""

    run: PlannedRun
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float

    def share(self) -> tuple[float, str]:
        """How far it is, 0 to 1, and its last test and speed."""
        status = read_json(self.run.path / "status.json")
        if not status:
            return 0.0, "starting"
        done, total, _ = progress(status)
        speed = value(status.get("updates_per_second"), ".1f")
        return min(1.0, done / max(total, 1)), f"test {tested(status)}  {speed} updates/s"


class Schedule:
    """Starts the runs in their order, at most `jobs` at once, each by `command`, the arguments of `powqmix`.

    Main thread only: it takes over SIGINT, SIGTERM and SIGHUP. Runs that go at the same time are told how many they
    are, and each takes its part of the cores and of the memory. `title` stands in the panel.
    """

    def __init__(
        self,
        runs: Sequence[PlannedRun],
        *,
        jobs: int,
        command: Callable[[PlannedRun], list[str]],
        title: str = "experiment",
        console: Console | None = None,
    ) -> None:
        self._waiting = deque(run for run in runs if run.state != "done")
        self._jobs, self._command, self._title = max(1, min(jobs, len(self._waiting))), command, title
        self._total, self._done = len(runs), len(runs) - len(self._waiting)
        self._going: list[Going] = []
        self._interrupts = 0
        self._began, self._line_at = time.monotonic(), time.monotonic()
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.failed: list[tuple[PlannedRun, int]] = []  # with their exit codes

    def run(self) -> bool:
        """Until all runs have ended. False if it was interrupted: what ran has saved itself and can go on."""
        before = {n: signal.signal(n, self._on_signal) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            if self._console.is_terminal and not os.environ.get("NO_LIVE"):
                with Live(console=self._console, refresh_per_second=2, transient=True, get_renderable=self._panel):
                    self._loop()
            else:
                self._loop()
        finally:
            for going in self._going:  # only after an error of our own
                going.process.terminate()
            for number, handler in before.items():
                signal.signal(number, handler)
        return not self._interrupts

    def _loop(self) -> None:
        while self._going or (self._waiting and not self._interrupts):
            while self._waiting and len(self._going) < self._jobs and not self._interrupts:
                self._start(self._waiting.popleft())
            time.sleep(POLL_S)
            for going in [g for g in self._going if g.process.poll() is not None]:
                self._going.remove(going)
                self._end(going)
            self._tell()

    def _start(self, run: PlannedRun) -> None:
        arguments = self._command(run)
        log = run.path.with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        self._say(f"{'resumed' if run.state == 'unfinished' else 'started'}: {run.name}")
        stream = log.open("ab")
        environment = os.environ | {PARENT_VARIABLE: str(os.getpid()), RUNS_VARIABLE: str(self._jobs)}
        # A session of its own: Ctrl-C comes to the run from here, once.
        process = subprocess.Popen(
            [sys.executable, "-m", "powqmix", *arguments],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, start_new_session=True,
        )  # fmt: skip
        self._going.append(Going(run, process, stream, time.monotonic()))
        for _ in range(self._interrupts):  # that came while it was started
            process.send_signal(signal.SIGINT)

    def _end(self, going: Going) -> None:
        going.log.close()
        run, took = going.run, duration(time.monotonic() - going.started)
        summary = read_json(run.path / "summary.json")
        if going.process.returncode == 0 and run.state == "done":
            self._done += 1
            self._say(f"done ({self._done} of {self._total}): {run.name}, test return {tested(summary)}, {took}")
        elif self._interrupts:
            self._say(f"saved: {run.name}, {count(summary.get('updates'))} updates")
        else:
            self.failed.append((run, going.process.returncode))
            log = run.path.with_suffix(".log")
            words = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
            self._say(f"failed with exit code {going.process.returncode}: {run.name}; the end of {log}:")
            self._say("\n".join(f"    {line}" for line in words))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        for going in self._going:
            going.process.send_signal(signal.SIGINT)

    # -- What is shown ---------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _tell(self) -> None:
        """Without a terminal, now and then a line."""
        now = time.monotonic()
        if self._console.is_terminal or now - self._line_at < LINE_EVERY_S or not self._going:
            return
        self._line_at = now
        parts = [f"{going.run.name} {100 * going.share()[0]:.0f} %" for going in self._going]
        self._say(f"{duration(now - self._began)}  {self._done} of {self._total} done; {'; '.join(parts)}")

    def _panel(self) -> Group:
        shares = [going.share() for going in self._going]
        done = self._done + sum(share for share, _ in shares)
        head = Table.grid(padding=(0, 2))
        title = "saving" if self._interrupts else self._title
        head.add_row(
            Text(title, style="bold"), ProgressBar(total=self._total, completed=done, width=36),
            f"{self._done} of {self._total} runs", duration(time.monotonic() - self._began),
        )  # fmt: skip
        body = Table.grid(padding=(0, 2))
        for going, (share, test) in zip(self._going, shares):
            body.add_row(
                Text(going.run.name, style="dim"), ProgressBar(total=1.0, completed=share, width=20),
                f"{100 * share:.0f} %", Text(test, no_wrap=True), duration(time.monotonic() - going.started),
            )  # fmt: skip
        return Group(head, body)
