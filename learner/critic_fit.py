"""CriticFit: the own steps, on a batch, of what a policy is judged by, with the optimiser that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from powqmix.config import TrainingConfig
from powqmix.objectives import Objective, Transitions

from .optimiser import FlatAdam, add_losses
from .precision import Precision


class CriticFit:
    """Minimises an objective's `critic_losses` by steps of Adam on its critics' parameters alone."""

    def __init__(
        self, objective: Objective, critics: list[nn.Module], training: TrainingConfig, precision: Precision
    ) -> None:
        self._objective, self._precision, self._steps = objective, precision, training.critic_updates
        parameters = [p for module in critics for p in module.parameters()]
        self._optimiser = FlatAdam(
            parameters, learning_rate=training.critic_learning_rate, max_norm=training.grad_clip
        )  # fmt: skip

    def run(self, parts: list[Transitions], evaluations: list[Any]) -> tuple[dict[str, Tensor], Tensor]:
        """All steps on a batch in parts. The last one's losses and norm; 1 if any of them was skipped, else 0: []."""
        scalars: dict[str, Tensor] = {}
        skipped = self._optimiser.values.new_zeros(())
        for _ in range(self._steps):
            scalars = {}
            self._optimiser.begin()
            for part, evaluation in zip(parts, evaluations):
                with self._precision.forward():
                    losses = self._objective.critic_losses(part, evaluation)
                add_losses(self._optimiser, losses, scalars)
            self._optimiser.complete()
            scalars["critic_grad_norm"], step_skipped = self._optimiser.step()
            skipped = torch.maximum(skipped, step_skipped)
        return scalars, skipped

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's; the parameters belong to the objective."""
        return self._optimiser.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave. Raises ValueError if it is of another size."""
        self._optimiser.load_state_dict(state)
