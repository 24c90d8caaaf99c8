"""RecognizerFit: the recognizer's own steps on a batch, with the optimiser that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import powqmix._C as _C
import torch
from torch import Tensor

from powqmix.config import TrainingConfig
from powqmix.modules import Recognizer
from powqmix.modules.recognizer_gradient import Regression, recognizer_gradient
from powqmix.ops.recognizer import NATIVE_ROWS, PARTS

from .optimiser import FlatAdam


class RecognizerFit:
    """Minimises L_r (Eq. 14) by steps of Adam on the recognizer's parameters alone."""

    def __init__(self, recognizer: Recognizer, training: TrainingConfig, bfloat16: bool = False) -> None:
        self._recognizer, self._minibatches = recognizer, training.recognizer_minibatches
        parameters = list(recognizer.parameters())
        self._optimiser = FlatAdam(
            parameters, learning_rate=training.recognizer_learning_rate, max_norm=training.grad_clip
        )
        self._gradient = recognizer_gradient(recognizer, self._optimiser.gradients, bfloat16)
        named = dict(recognizer.named_parameters())
        gradients = dict(zip(named, self._optimiser.gradients, strict=True))
        self._result: tuple[Tensor, Tensor]
        self._running: tuple[list[Tensor], Any] | None = None  # the tensors it reads, kept alive, and the thread
        self._parameter_addresses = [named[part].data_ptr() for part in PARTS]
        self._gradient_addresses = [gradients[part].data_ptr() for part in PARTS]

    def start(self, rows: Regression, steps: int) -> None:
        """Takes `steps` steps: where rows are few in a thread of its own, until `finish`; else before this returns.

        With minibatches: one step on each of them. Every one has transitions of all episodes and times.
        """
        parts = min(self._minibatches, rows.state.shape[0])
        if parts > 1:
            self._fit_in_turn([rows.every(parts, first) for first in range(parts)], 1)
            return
        if rows.state.is_cuda or rows.state.shape[0] > NATIVE_ROWS:
            self._fit_in_turn([rows], steps)
            return
        net, adam = self._recognizer, self._optimiser
        sizes = (rows.state.shape[0], net.n_agents, net.n_actions, net.state_size, net.embed_size, net.hidden_size)
        fields = [t.contiguous() for t in (rows.state, rows.actions, rows.advantages, rows.target, rows.share)]
        norm, skipped = torch.zeros(()), torch.zeros(())
        self._result = norm, skipped
        self._running = fields, _C.RecognizerFit(
            sizes, self._parameter_addresses, self._gradient_addresses, [f.data_ptr() for f in fields], steps,
            adam.addresses, adam.constants, norm.data_ptr(), skipped.data_ptr(),
        )  # fmt: skip

    def finish(self) -> tuple[Tensor, Tensor]:
        """Waits for what `start` began. The last gradient's norm, and 1 if any step was skipped, else 0: []."""
        if self._running is not None:
            self._running[1].wait()
            self._running = None
        return self._result

    def _fit_in_turn(self, parts: list[Regression], steps: int) -> None:
        """`steps` steps on each part in turn."""
        skipped = norm = torch.zeros((), device=parts[0].state.device)
        for rows in parts:
            self._gradient.begin(rows)
            for _ in range(steps):
                self._gradient.compute()
                norm, step_skipped = self._optimiser.step()
                skipped = torch.maximum(skipped, step_skipped)
        self._result = norm, skipped

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's; the parameters belong to the recognizer."""
        return self._optimiser.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave. Raises ValueError if it is of another size."""
        self._optimiser.load_state_dict(state)
