"""Each op beside its reference implementation, on inputs of an environment's sizes, measured in turns."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from powqmix import envs, ops
from powqmix.config import Config
from powqmix.learner.threads import threads_for
from powqmix.ops import reference

from .output import progress
from .timing import alternate, timed
from .trace import Span


@dataclass(frozen=True)
class Case:
    """One op on its inputs. `differentiated`: indices of the inputs that a gradient is asked for; (): forward only."""

    op: str
    inputs: tuple[Tensor, ...]
    constants: dict[str, float]
    differentiated: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.op}, backward too" if self.differentiated else self.op


def measure_kernels(config: Config, device_name: str, seconds: float) -> tuple[dict[str, Any], dict[str, list[Span]]]:
    """A row for each op: its median time, the reference's, how far the results are apart; and a trace's tracks."""
    spec = envs.spec(config.env_id, **config.env)
    batch, steps = config.training.batch_size, spec.episode_limit
    threads = threads_for(config, spec, 0)
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    synchronise: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    cases = make_cases(config, batch, steps, spec.n_agents, spec.n_actions, device)
    rows: list[dict[str, Any]] = []
    tracks: dict[str, list[Span]] = {}
    with progress(f"measuring {len(cases)} ops for {seconds:g} s each", len(cases)) as bar:
        for case in cases:
            spans: list[Span] = []
            rows.append(compare(case, seconds, synchronise, spans))
            tracks[case.name] = spans
            bar.advance()
    report = {
        "device": device_name if device.type == "cpu" else torch.cuda.get_device_name(device),
        "threads": threads,
        "shape": {"B": batch, "T": steps, "N": spec.n_agents, "A": spec.n_actions, "K": config.mixer.embed_size},
        "rows": rows,
    }
    return report, tracks


def make_cases(config: Config, batch: int, steps: int, agents: int, actions: int, device: torch.device) -> list[Case]:
    """Random inputs [B, T, ...] with episodes of random lengths and half of the actions legal."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, steps, *shape, generator=generator).to(device)

    embed = config.mixer.embed_size
    agent_q = normal(agents, actions)
    available = (torch.rand(batch, steps, agents, actions, generator=generator) < 0.5).to(torch.uint8)
    taken = torch.randint(actions, (batch, steps, agents), generator=generator)
    available.scatter_(-1, taken.unsqueeze(-1), 1)
    available, taken = available.to(device), taken.to(device)
    lengths = torch.randint(1, steps + 1, (batch, 1), generator=generator).to(device)
    filled = (torch.arange(steps, device=device) < lengths).to(torch.uint8)
    discount = torch.full((batch, steps), config.training.gamma, device=device)
    returns = {"td_lambda": config.training.td_lambda}
    head = returns | {
        "recognition_tolerance": config.recognizer.recognition_tolerance,
        "recognized_weight": config.weighting.recognized_weight,
        "other_weight": config.weighting.other_weight,
    }
    q_taken, q_max, _ = reference.select_q(agent_q, available, taken)
    mix = (normal(agents), normal(agents, embed), normal(embed), normal(embed), normal())
    head_inputs = (normal(agents).abs(), normal(), q_taken, q_max, normal(), normal(), discount, filled)
    return [
        Case("select_q", (agent_q, available, taken), {}),
        Case("hyper_scales", mix[1:4:2], {}),
        Case("hyper_scales", mix[1:4:2], {}, (0, 1)),
        Case("monotonic_mix", mix, {}),
        Case("monotonic_mix", mix, {}, (0, 1, 2, 3, 4)),
        Case("td_lambda_target", (head_inputs[4], head_inputs[5], discount, filled), returns),
        Case("powqmix_head", head_inputs, head),
        Case("powqmix_head", head_inputs, head, (0, 1)),
        Case("powqmix_loss", (normal(), normal(), *head_inputs, filled / filled.sum()), head, (0,)),
    ]


def compare(
    case: Case, seconds: float, synchronise: Callable[[], None], spans: list[Span] | None = None
) -> dict[str, Any]:
    """Both implementations of one op in turns: median milliseconds, their ratio, the largest difference of results."""
    ours = functools.partial(_call, getattr(ops, case.op), case)
    theirs = functools.partial(_call, getattr(reference, case.op), case)
    difference = max(
        float((one.double() - other.double()).abs().max()) for one, other in zip(ours(), theirs()) if one.numel()
    )

    def waited(body: Callable[[], object]) -> Callable[[], float]:
        def run() -> None:
            body()
            synchronise()

        return timed(run)

    times = alternate({"ours": waited(ours), "reference": waited(theirs)}, seconds, spans=spans)
    ms = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    return {
        "op": case.name,
        "ms": ms["ours"],
        "reference_ms": ms["reference"],
        "ratio": ms["reference"] / ms["ours"],
        "largest_difference": difference,
    }


def _call(op: Callable[..., Any], case: Case) -> Sequence[Tensor]:
    """The op's results, and with `differentiated` the gradients of the sum of its first result."""
    if not case.differentiated:
        with torch.no_grad():
            result = op(*case.inputs, **case.constants)
        return (result,) if isinstance(result, Tensor) else tuple(result)
    inputs = [
        tensor.detach().requires_grad_() if index in case.differentiated else tensor
        for index, tensor in enumerate(case.inputs)
    ]
    result = op(*inputs, **case.constants)
    first = result if isinstance(result, Tensor) else result[0]
    return (first.detach(), *torch.autograd.grad(first.sum(), [inputs[index] for index in case.differentiated]))
