"""A trace that chrome://tracing and ui.perfetto.dev open: what happened when, one track a part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

Span = tuple[str, float, float]  # name, start and end in seconds of one clock


def write_trace(path: Path, tracks: Mapping[str, Iterable[Span]]) -> None:
    """Writes the tracks' spans in Chrome's trace event format, times from the first one on. Raises OSError."""
    spans = [(track, *span) for track, members in tracks.items() for span in members]
    begin = min((start for _, _, start, _ in spans), default=0.0)
    numbers = {track: number for number, track in enumerate(tracks)}
    events: list[dict[str, object]] = [
        {"ph": "M", "name": "thread_name", "pid": 0, "tid": number, "args": {"name": track}}
        for track, number in numbers.items()
    ]
    events += [
        {
            "ph": "X", "name": name, "pid": 0, "tid": numbers[track],
            "ts": round(1e6 * (start - begin), 3), "dur": round(1e6 * (end - start), 3),
        }
        for track, name, start, end in spans
    ]  # fmt: skip
    path.write_text(json.dumps({"displayTimeUnit": "ms", "traceEvents": events}), encoding="utf-8")
