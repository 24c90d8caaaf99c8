"""How a run looks while it goes: a live panel on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from powqmix.config import Config

LINE_EVERY_S = 5.0
REFRESH_A_SECOND = 4


class Display(Protocol):
    """What the supervisor tells. Used as a context manager while the run goes."""

    def __enter__(self) -> Display: ...
    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None: ...
    def update(self, status: Mapping[str, Any], alive: int, restarts: int) -> None: ...
    def note(self, text: str) -> None: ...
    def conclude(self, summary: Mapping[str, Any]) -> None: ...


def make_display(config: Config, path: Path, stream: IO[str], notes: list[str]) -> Display:
    """A live panel if `stream` is a terminal, lines otherwise; tells first what is about to run."""
    console = Console(file=stream, highlight=False, soft_wrap=True)
    console.print(f"[bold]powqmix[/bold]  {describe(config)}")
    console.print(f"run {path}" + "".join(f"; {note}" for note in notes))
    if console.is_terminal and not os.environ.get("NO_LIVE"):
        return LivePanel(config, path, console)
    return Lines(config, path, console)


def describe(config: Config) -> str:
    """The run in one line."""
    actors = config.actors
    players = f"{actors.count} actor{'s' * (actors.count > 1)} of {actors.envs_per_actor} environments"
    mode = ", lockstep" if config.lockstep else ""
    return f"{config.algorithm} on {config.env_id}, preset {config.preset}, seed {config.seed}, {players}{mode}"


def count(number: float | None) -> str:
    """1234567 as 1.23M."""
    if number is None:
        return "-"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            return f"{number / (1e3 if unit == 'k' else size):.4g}{unit}"
    return f"{number:.0f}"


def value(number: float | None, form: str = ".2f") -> str:
    return "-" if number is None else format(number, form)


def duration(seconds: float) -> str:
    """3725 s as 1:02:05."""
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def progress(status: Mapping[str, Any]) -> tuple[float, float, str]:
    """How far, of how much, and the unit: updates where they end the run, else environment steps."""
    if status.get("max_updates"):
        return status["updates"], status["max_updates"], "updates"
    return status.get("env_steps", 0), status.get("steps_target", 1), "steps"


def tested(status: Mapping[str, Any]) -> str:
    """The last test: return, and win rate where there is one to win."""
    mean = status.get("test_return_mean")
    if mean is None:
        return "-"
    wins = status.get("test_win_rate")
    return f"{mean:.2f}" + (f", {100 * wins:.0f} % won" if wins else "")


def closing_lines(summary: Mapping[str, Any], path: Path) -> list[str]:
    """What a user reads when the run is over, and what to type next."""
    lines = [
        f"{summary['status']}: {count(summary['env_steps'])} steps, {count(summary['episodes'])} episodes, "
        f"{count(summary['updates'])} updates in {duration(summary['wall_time_s'] or 0)}; "
        f"test return {tested(summary)}; bottleneck {summary['bottleneck']}"
    ]
    if summary.get("episodes_lost"):
        lines.append(f"{summary['episodes_lost']} accepted episodes are missing: please report this with {path}/logs")
    if summary["status"] != "done":
        lines.append(f"go on with it:  powqmix-launch --resume --run-dir {path}")
    else:
        lines.append(f"look at it:     powqmix plot {path}")
    return lines


class Lines:
    """One line every LINE_EVERY_S, for logs and pipes."""

    def __init__(self, config: Config, path: Path, console: Console) -> None:
        self._config, self._path, self._console = config, path, console
        self._line_at = time.monotonic()
        self._tested_at: int | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, status: Mapping[str, Any], alive: int, restarts: int) -> None:
        now = time.monotonic()
        if not status or now - self._line_at < LINE_EVERY_S:
            return
        self._line_at = now
        done, total, unit = progress(status)
        self._console.print(
            f"{duration(status['wall_time_s']):>8}  {status['phase']:<8} {count(done):>6}/{count(total)} {unit}  "
            f"{count(status['env_steps_per_second'])} steps/s  {value(status['updates_per_second'], '.1f')} updates/s  "
            f"return {value(status['return_mean'])}  test {tested(status)}  epsilon {value(status['epsilon'])}  "
            f"actors {alive}  bottleneck {status['bottleneck']}",
            markup=False,
        )

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)

    def conclude(self, summary: Mapping[str, Any]) -> None:
        for line in closing_lines(summary, self._path):
            self._console.print(line, markup=False)


class LivePanel:
    """A panel that is redrawn in place."""

    def __init__(self, config: Config, path: Path, console: Console) -> None:
        self._config, self._path, self._console = config, path, console
        self._live = Live(Text("starting ..."), console=console, refresh_per_second=REFRESH_A_SECOND, transient=True)
        self._drawn_at = 0.0
        self._began: tuple[float, float] | None = None  # time and progress of the first status, for the forecast

    def __enter__(self) -> LivePanel:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def update(self, status: Mapping[str, Any], alive: int, restarts: int) -> None:
        now = time.monotonic()
        if not status or now - self._drawn_at < 1 / REFRESH_A_SECOND:
            return
        self._drawn_at = now
        self._live.update(self._panel(status, alive, restarts, now))

    def _panel(self, status: Mapping[str, Any], alive: int, restarts: int, now: float) -> Group:
        done, total, unit = progress(status)
        if self._began is None:
            self._began = now, done
        rate = (done - self._began[1]) / max(now - self._began[0], 1e-9)
        left = duration((total - done) / rate) + " left" if rate > 0 and done < total else ""
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(f"{status['phase']:<9}", style="bold"),
            ProgressBar(total=total, completed=done, width=36),
            f"{count(done)} of {count(total)} {unit}",
            duration(status["wall_time_s"]),
            left,
        )
        body = Table.grid(padding=(0, 2))
        for _ in range(3):
            body.add_column(style="dim", min_width=10)
            body.add_column(min_width=14)
        body.add_row(
            "test", tested(status), "return", value(status["return_mean"]), "epsilon", value(status["epsilon"], ".3f")
        )
        body.add_row(
            "played", f"{count(status['env_steps_per_second'])} steps/s",
            "learned", f"{value(status['updates_per_second'], '.1f')} updates/s",
            "loss", value(status["loss_tot"], ".4g"),
        )  # fmt: skip
        body.add_row(
            "actors", f"{alive} of {self._config.actors.count}" + (f", {restarts} restarted" if restarts else ""),
            "lag", f"{value(status['parameter_lag_median'], 'd')} updates",
            "bottleneck", str(status["bottleneck"]),
        )  # fmt: skip
        return Group(head, body)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)

    def conclude(self, summary: Mapping[str, Any]) -> None:
        for line in closing_lines(summary, self._path):
            self._console.print(line, markup=False)
