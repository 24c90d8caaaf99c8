"""Means of what updates report, summed on the device until someone asks."""

from __future__ import annotations

import torch
from torch import Tensor


class MeanMetrics:
    """Sums named scalars over updates. An update that was skipped counts as skipped, and in no mean."""

    def __init__(self, device: torch.device) -> None:
        self._names: list[str] = []
        self._sums = torch.zeros(0, device=device)
        self._skipped = torch.zeros(3, device=device)  # in this interval, in a row until now, ever
        self._updates = 0

    def add(self, values: dict[str, Tensor], skipped: Tensor) -> None:
        """Adds one update's scalars; `skipped` [] is 1 where it changed nothing, else 0. No synchronisation."""
        if self._names != list(values):
            self._names = list(values)
            self._sums = self._sums.new_zeros(len(values))
        row = torch.stack(list(values.values()))
        # Not a product: what a skipped update reports need not be finite.
        self._sums.add_(torch.where(skipped > 0, 0.0, row))
        self._skipped.add_(skipped)
        self._skipped[1].mul_(skipped)
        self._updates += 1

    @property
    def skipped_in_a_row(self) -> int:
        """Updates skipped since the last that was not (synchronises)."""
        return int(self._skipped[1].item())

    def take(self) -> dict[str, float]:
        """Means since the last call, and the `updates_skipped` in all (synchronises); {} without an update."""
        if self._updates == 0:
            return {}
        skipped, _, total = self._skipped.tolist()
        counted = self._updates - skipped
        means = {name: value / counted for name, value in zip(self._names, self._sums.tolist())} if counted else {}
        self._sums.zero_()
        self._skipped[0].zero_()
        self._updates = 0
        return {**means, "updates_skipped": total}

    def state_dict(self) -> dict[str, Tensor]:
        """The counts of skipped updates; means start anew."""
        return {"skipped": self._skipped.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on counting from `state`."""
        self._skipped.copy_(state["skipped"])
        self._skipped[:2].zero_()
        self._sums.zero_()
        self._updates = 0
