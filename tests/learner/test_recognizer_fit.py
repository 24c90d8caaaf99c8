"""The recognizer's own steps, against torch.optim.Adam behind clipping and autograd."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from powqmix.config import TrainingConfig
from powqmix.learner.recognizer_fit import RecognizerFit
from powqmix.modules import Recognizer
from powqmix.modules.recognizer_gradient import Regression

N, A, S, K, H = 3, 4, 5, 6, 8


def regression(rows: int) -> Regression:
    g = torch.Generator().manual_seed(rows)
    share = torch.rand(rows, generator=g)
    return Regression(
        state=torch.randn(rows, S, generator=g),
        actions=torch.randint(0, A, (rows, N), generator=g),
        advantages=-torch.rand(rows, N, generator=g),
        target=torch.randn(rows, generator=g),
        share=share / share.sum(),
    )


def by_autograd(net: Recognizer, parts: list[Regression], training: TrainingConfig) -> None:
    """A step on each of `parts` in turn."""
    adam = torch.optim.Adam(net.parameters(), lr=training.recognizer_learning_rate)
    for rows in parts:
        w1, w2, value = net(rows.state.unsqueeze(0), rows.actions.unsqueeze(0))
        scales = torch.einsum("btnk,btk->btn", w1.abs(), w2.abs())
        q_r = (value + (scales * rows.advantages).sum(2))[0]
        adam.zero_grad()
        (0.5 * (rows.share * (q_r - rows.target) ** 2).sum()).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), training.grad_clip)
        adam.step()


@pytest.mark.parametrize("rows", [9, 300])  # in one native call, and by the library
@pytest.mark.parametrize("minibatches", [1, 4])
def test_steps_are_those_of_adam_on_the_batch_or_on_each_of_its_parts(rows: int, minibatches: int) -> None:
    torch.manual_seed(0)
    training = TrainingConfig(recognizer_minibatches=minibatches, recognizer_learning_rate=0.01, grad_clip=0.5)
    ours = Recognizer(N, A, S, K, H)
    theirs = copy.deepcopy(ours)
    data = regression(rows)
    fit = RecognizerFit(ours, training)
    fit.start(data, 3)
    fit.finish()
    parts = [data] * 3
    if minibatches > 1:
        fields = {f.name: getattr(data, f.name) for f in dataclasses.fields(data)}
        parts = [Regression(**{name: value[first::4] for name, value in fields.items()}) for first in range(4)]
        parts = [dataclasses.replace(part, share=part.share / part.share.sum()) for part in parts]
    by_autograd(theirs, parts, training)
    for mine, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-4, atol=2e-5)


def test_fewer_rows_than_minibatches_are_a_minibatch_each() -> None:
    torch.manual_seed(0)
    net = Recognizer(N, A, S, K, H)
    fit = RecognizerFit(net, TrainingConfig(recognizer_minibatches=10))
    fit.start(regression(3), 7)
    norm, skipped = fit.finish()
    assert float(norm) > 0
    assert float(skipped) == 0
    assert all(bool(p.isfinite().all()) for p in net.parameters())
