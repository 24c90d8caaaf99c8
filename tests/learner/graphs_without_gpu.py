"""A stand-in for CUDA graphs: a capture does nothing, and a launch does it all again into the same result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Recorded:
    """`learner.captured.Graphs` on a CPU, for calls that return (dict of tensors, tensor)."""

    def __init__(self) -> None:
        self.warmed_up = self.captured = self.launched = 0
        self.fails = False

    def warm_up(self, call: Callable[[], Any]) -> Any:
        self.warmed_up += 1
        return call()

    def capture(self, call: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.captured += 1
        scalars: dict[str, torch.Tensor] = {}
        skipped = torch.zeros(())

        def launch() -> None:
            self.launched += 1
            found, found_skipped = call()
            scalars.update(found)
            skipped.copy_(found_skipped)

        return launch, (scalars, skipped)
