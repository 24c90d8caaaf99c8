"""ValueLayer: an affine layer that gives values, in float32 whatever the precision of the layers before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ValueLayer(nn.Linear):
    """torch.nn.Linear in float32, also under autocast: bfloat16 has three digits, too few for a joint value and its
    differences."""

    def forward(self, input: Tensor) -> Tensor:
        if input.dtype == self.weight.dtype and not torch.is_autocast_enabled(input.device.type):
            return functional.linear(input, self.weight, self.bias)
        with torch.autocast(input.device.type, enabled=False):
            return functional.linear(input.to(self.weight.dtype), self.weight, self.bias)
