"""Rowwise against torch.nn.Sequential: same values, same gradients, same names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from powqmix.modules.rowwise import Rowwise


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (0, 3, 5)])
def test_rowwise_layers_are_a_sequence_of_layers(shape: tuple[int, ...]) -> None:
    layers = nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)
    x = torch.randn(shape)
    wanted = nn.Sequential(*layers)(x)
    gradients = torch.autograd.grad(wanted.square().sum(), layers[0].weight)
    in_place = Rowwise(layers[0], nn.ReLU(inplace=True), layers[2])
    assert in_place.state_dict().keys() == nn.Sequential(*layers).state_dict().keys()
    found = in_place(x)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), layers[0].weight), gradients)
