"""Clocks for measurements: stages of a loop, and bodies in alternation so that a busy machine favours none."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .trace import Span

MAX_SPANS = 20_000


class Stages:
    """Adds up what each stage of a round takes. `synchronise` waits for the device at both ends of a stage.

    spans: the first MAX_SPANS of them one by one, for a trace.
    """

    def __init__(self, synchronise: Callable[[], None]) -> None:
        self._synchronise = synchronise
        self._rounds: list[dict[str, float]] = []
        self.spans: list[Span] = []

    def begin_round(self) -> None:
        self._rounds.append(defaultdict(float))

    @contextlib.contextmanager
    def time(self, stage: str) -> Iterator[None]:
        self._synchronise()
        start = time.perf_counter()
        yield
        self._synchronise()
        if self._rounds:
            end = time.perf_counter()
            self._rounds[-1][stage] += end - start
            if len(self.spans) < MAX_SPANS:
                self.spans.append((stage, start, end))

    def wrap(self, owner: Any, method: str, stage: str) -> None:
        """Times every call of `owner.method` from now on, on this one object."""
        inner = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.time(stage):
                return inner(*args, **kwargs)

        setattr(owner, method, timed)

    def medians(self) -> dict[str, float]:
        """Seconds of each stage in the median round; stages that were never reached are left out."""
        names = dict.fromkeys(name for one in self._rounds for name in one)
        return {name: statistics.median(one.get(name, 0.0) for one in self._rounds) for name in names}


def timed(body: Callable[[], object]) -> Callable[[], float]:
    """`body` as a function that returns the seconds it took."""

    def run() -> float:
        start = time.perf_counter()
        body()
        return time.perf_counter() - start

    return run


def alternate(
    bodies: Mapping[str, Callable[[], float]], seconds: float, minimum: int = 3, spans: list[Span] | None = None
) -> dict[str, list[float]]:
    """What each body returns, all of them called in turns until `seconds` have passed and `minimum` rounds are done.

    A body returns the seconds of what it measures; each call is added to `spans`. One round beforehand is not
    counted: it allocates, compiles and fills caches.
    """
    for body in bodies.values():
        body()
    times: dict[str, list[float]] = {name: [] for name in bodies}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < minimum or time.perf_counter() < end:
        for name, body in bodies.items():
            start = time.perf_counter()
            times[name].append(body())
            if spans is not None and len(spans) < MAX_SPANS:
                spans.append((name, start, time.perf_counter()))
        rounds += 1
    return times
