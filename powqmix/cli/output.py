"""What commands print: one JSON object or tables on stdout, progress on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table


class Steps:
    """Progress of one piece of work; `advance` is called for each part done."""

    def __init__(self, progress: Progress | None, title: str, total: float) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task(title, total=total)

    def advance(self, by: float = 1.0) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, by)


@contextlib.contextmanager
def progress(title: str, total: float) -> Iterator[Steps]:
    """A bar on stderr while the block runs; where stderr is no terminal, the title as one plain line."""
    if not sys.stderr.isatty():
        print(f"{title} ...", file=sys.stderr, flush=True)
        yield Steps(None, title, total)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Steps(bar, title, total)


def print_json(values: Mapping[str, Any]) -> None:
    """One JSON object on stdout; what is no finite number is null, for strict readers."""
    print(json.dumps(finite(values), indent=1))


def finite(value: Any) -> Any:
    """`value` with None for every number that is not finite, for strict readers of JSON."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table on stdout, cut to no width where stdout is no terminal. Headings that start with ">" align right."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(heading.lstrip(">"), justify="right" if right else "left", no_wrap=not sys.stdout.isatty())
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)


def count(number: float) -> str:
    """12345678 as 12,345,678."""
    return f"{number:,.0f}"
