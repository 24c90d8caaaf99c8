"""Every op against the float64 reference, forward and backward, at sizes and lengths that hypothesis chooses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .cases import NAMES, make
from .test_ops import check_values, close


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 6), steps=st.integers(1, 40), agents=st.integers(1, 9), width=st.integers(1, 70),
    seed=st.integers(0, 2**20),
)  # fmt: skip
def test_an_op_equals_the_reference_at_any_size(
    name: str, batch: int, steps: int, agents: int, width: int, seed: int
) -> None:
    case = make(name, batch, steps, agents, width, seed)
    check_values(case)
    if case.differentiable:
        for got, wanted in zip(case.gradients(exact=False), case.gradients(exact=True), strict=True):
            close(got, wanted, case.rounding)
