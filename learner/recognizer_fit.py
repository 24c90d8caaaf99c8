"""RecognizerFit: the recognizer's own steps on a batch, with the optimiser that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import powqmix._C as _C
import torch
from torch import Tensor

from powqmix.config import TrainingConfig
from powqmix.modules import Recognizer
from powqmix.modules.recognizer_gradient import RecognizerGradient, Regression

from .optimiser import FlatAdam

# Rows up to which one native call for all steps is faster than the library's products, measured at 128 hidden units.
NATIVE_ROWS = 128

_PARTS = (
    "action_in", "hidden_weight", "hidden_bias", "state_in.weight", "state_in.bias", "w1_out.weight", "w1_out.bias",
    "w2_out.weight", "w2_out.bias", "value_out.weight", "value_out.bias",
)  # fmt: skip


class RecognizerFit:
    """Minimises L_r (Eq. 14) by steps of Adam on the recognizer's parameters alone."""

    def __init__(self, recognizer: Recognizer, training: TrainingConfig) -> None:
        self._recognizer = recognizer
        parameters = list(recognizer.parameters())
        self._optimiser = FlatAdam(
            parameters, learning_rate=training.recognizer_learning_rate, max_norm=training.grad_clip
        )
        self._gradient = RecognizerGradient(recognizer, self._optimiser.gradients)
        named = dict(recognizer.named_parameters())
        gradients = dict(zip(named, self._optimiser.gradients, strict=True))
        self._parameter_addresses = [named[part].data_ptr() for part in _PARTS]
        self._gradient_addresses = [gradients[part].data_ptr() for part in _PARTS]

    def __call__(self, rows: Regression, steps: int) -> tuple[Tensor, Tensor]:
        """Takes `steps` steps. Returns the last gradient's norm, and 1 if any step was skipped, else 0: []."""
        if not rows.state.is_cuda and rows.state.shape[0] <= NATIVE_ROWS:
            return self._fit_natively(rows, steps)
        skipped = torch.zeros((), device=rows.state.device)
        norm = skipped
        self._gradient.begin(rows)
        for _ in range(steps):
            self._gradient.compute()
            norm, step_skipped = self._optimiser.step()
            skipped = torch.maximum(skipped, step_skipped)
        return norm, skipped

    def _fit_natively(self, rows: Regression, steps: int) -> tuple[Tensor, Tensor]:
        net, adam = self._recognizer, self._optimiser
        sizes = (rows.state.shape[0], net.n_agents, net.n_actions, net.state_size, net.embed_size, net.hidden_size)
        fields = [t.contiguous() for t in (rows.state, rows.actions, rows.advantages, rows.target, rows.share)]
        result = torch.zeros(2)
        _C.recognizer_fit(
            sizes, self._parameter_addresses, self._gradient_addresses, [f.data_ptr() for f in fields], steps,
            adam.addresses, adam.constants, result.data_ptr(), result[1].data_ptr(),
        )  # fmt: skip
        return result[0], result[1]

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's; the parameters belong to the recognizer."""
        return self._optimiser.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave. Raises ValueError if it is of another size."""
        self._optimiser.load_state_dict(state)
