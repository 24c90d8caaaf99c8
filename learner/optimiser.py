"""FlatAdam: Adam with clipping over one flat vector that all parameters of an optimiser are views of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import powqmix._C as _C
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from powqmix.objectives import Losses

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch.optim.Adam's


class FlatAdam:
    """Clips the gradient's norm to `max_norm`, then takes torch.optim.Adam's step; nothing leaves the device.

    On construction the parameters are moved into `values` and become views of it, in their order: clipping, the step
    and publishing are one operation each, whatever the number of layers. A step whose gradient is not finite changes
    nothing and is reported.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, learning_rate: float, max_norm: float) -> None:
        self.learning_rate, self.max_norm = learning_rate, max_norm
        self.parameters = list(parameters)
        self.values = torch.cat([p.detach().reshape(-1) for p in self.parameters])
        self.gradient = torch.zeros_like(self.values)
        self.gradients: list[Tensor] = []  # views of `gradient` in the parameters' shapes
        offset = 0
        for parameter in self.parameters:
            part = slice(offset, offset + parameter.numel())
            parameter.data = self.values[part].view_as(parameter)
            self.gradients.append(self.gradient[part].view_as(parameter))
            offset = part.stop
        self._missing: set[int] = set()  # parameters whose gradient nothing was added to
        self._mean = torch.zeros_like(self.values)
        self._square = torch.zeros_like(self.values)
        self._steps = self.values.new_zeros(())
        self._taken = self.values.new_zeros(())  # 1 where a step is taken
        # For the native step: where everything is, which never changes, and Adam's constants.
        self.addresses = (
            self.values.numel(), self.values.data_ptr(), self.gradient.data_ptr(), self._mean.data_ptr(),
            self._square.data_ptr(), self._steps.data_ptr(),
        )  # fmt: skip
        self.constants = (learning_rate, BETA1, BETA2, EPSILON, max_norm)

    def backward(self, loss: Tensor) -> None:
        """Writes the gradient of `loss`."""
        self.begin()
        self.add(loss)
        self.complete()

    def begin(self) -> None:
        """A new gradient: `add` what it is the sum of, then `complete` it."""
        self._missing = set(range(len(self.parameters)))

    def add(self, loss: Tensor) -> None:
        """Adds the gradient of `loss`, which may depend on some of the parameters only."""
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        there = [k for k, gradient in enumerate(found) if gradient is not None]
        # The first part of a sum is written: zeros to add it to would be one more pass over the memory.
        for places, put in (
            ([k for k in there if k in self._missing], torch._foreach_copy_),
            ([k for k in there if k not in self._missing], torch._foreach_add_),
        ):
            if places:
                put([self.gradients[k] for k in places], [found[k] for k in places])
        self._missing.difference_update(there)

    def complete(self) -> None:
        """Zeroes the gradient of parameters that no loss depended on."""
        if self._missing:
            torch._foreach_zero_([self.gradients[k] for k in self._missing])

    def step(self) -> tuple[Tensor, Tensor]:
        """One step along `gradient`. Returns its norm before clipping, and 1 where the step was skipped, else 0: []."""
        if not self.values.is_cuda:
            result = torch.empty(2)
            _C.adam_step(self.addresses, self.constants, result.data_ptr(), result[1].data_ptr())
            return result[0], result[1]
        with torch.no_grad():
            norm = torch.linalg.vector_norm(self.gradient)
            self._taken.copy_(norm < math.inf)  # neither infinite nor NaN
            self._steps.add_(self._taken)
            skipped = 1.0 - self._taken
            # As torch.nn.utils.clip_grad_norm_, folded into the step: the gradient is divided by this.
            scale = torch.clamp(norm / self.max_norm, min=1.0)
            torch._fused_adam_(
                [self.values], [self.gradient], [self._mean], [self._square], [], [self._steps],
                lr=self.learning_rate, beta1=BETA1, beta2=BETA2, weight_decay=0.0, eps=EPSILON,
                amsgrad=False, maximize=False, grad_scale=scale, found_inf=skipped,
            )  # fmt: skip
        return norm, skipped

    def state_dict(self) -> dict[str, Any]:
        """The moments and the count of steps; the parameters belong to their modules."""
        return {"mean": self._mean.clone(), "square": self._square.clone(), "steps": self._steps.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave. Raises ValueError if it is of another size."""
        if state["mean"].shape != self._mean.shape:
            raise ValueError(
                f"optimiser state is for {state['mean'].numel()} parameters, these networks have {self._mean.numel()}; "
                "the checkpoint was written with other sizes or another algorithm"
            )
        self._mean.copy_(state["mean"])
        self._square.copy_(state["square"])
        self._steps.copy_(state["steps"])


def add_losses(optimiser: FlatAdam, losses: Losses, scalars: dict[str, Tensor]) -> None:
    """Adds the gradient of a part's losses, and what they are to the sums of the parts."""
    if not losses.terms:
        return
    optimiser.add(losses.total)
    for name, value in (*losses.terms.items(), *losses.metrics.items()):
        value = value.detach()
        scalars[name] = scalars[name] + value if name in scalars else value
