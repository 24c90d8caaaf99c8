"""Precision: in which numbers the update's products are taken. Sums, values, targets and parameters are float32."""

from __future__ import annotations

import contextlib

import powqmix._C as _C
import torch


class Precision:
    """`training.precision` on a device: float32; tf32 (CUDA: 10 bits in products); bfloat16 (7 bits, half the memory).

    Raises ValueError where the device has no such products at all.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name, self.device = name, device
        if name == "tf32" and device.type != "cuda":
            raise ValueError("training.precision=tf32 needs a CUDA device; use float32 or bfloat16")
        if device.type == "cuda":
            # The recognizer's own steps have no autocast: with bfloat16 they are taken in TF32.
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name != "float32"

    @property
    def bfloat16(self) -> bool:
        return self.name == "bfloat16"

    @property
    def native(self) -> bool:
        """Whether the device has instructions for it; if not, bfloat16 is right and slower than float32."""
        return not self.bfloat16 or self.device.type != "cpu" or bool(_C.has_bfloat16())

    @property
    def product_dtype(self) -> torch.dtype:
        """Of what most products are taken of; observations, which several networks read, are converted to it once."""
        return torch.bfloat16 if self.bfloat16 else torch.float32

    def forward(self) -> contextlib.AbstractContextManager[object]:
        """For the computation of values and losses; gradients follow in the precision of what they pass."""
        if not self.bfloat16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)
