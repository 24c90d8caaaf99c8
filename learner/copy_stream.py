"""CopyStream: copies to a GPU beside its work, and the three waits that keep both apart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


class CopyStream:
    """A stream for copies from pinned memory to one place on the device. On a CPU copies are done at once.

    In turns: `release` when the last work that reads the place has been queued; `copying` around copies into it;
    `arrive` before the work that reads what was copied; `wait` before the pinned memory is written again.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type == "cuda" else None
        if self._device is not None:
            with torch.cuda.device(self._device):
                self._stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                self._released: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
                self._arrived: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.release()

    def release(self) -> None:
        """What the current stream has been given until now may read the place; copies wait for that, not for more."""
        if self._device is not None:
            self._released.record(torch.cuda.current_stream(self._device))

    @contextlib.contextmanager
    def copying(self) -> Iterator[None]:
        """Copies made within go to the copy stream."""
        if self._device is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._released)
            yield
            self._arrived.record(self._stream)

    def arrive(self) -> None:
        """The current stream goes on when the copies are there."""
        if self._device is not None:
            torch.cuda.current_stream(self._device).wait_event(self._arrived)

    def wait(self) -> None:
        """Waits, on the host, until the last copies have read their pinned memory."""
        if self._device is not None:
            self._arrived.synchronize()
