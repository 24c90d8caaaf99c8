"""CapturedCalls: work on a GPU, captured in a CUDA graph once for each key and launched as a whole afterwards."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

import torch

log = logging.getLogger("powqmix.learner")

WARM_UPS = 2  # calls of a key before it is captured: libraries allocate and load what they need
Result = TypeVar("Result")


class Graphs(Protocol):
    """How calls are captured; tests have a form without a GPU."""

    def warm_up(self, call: Callable[[], Result]) -> Result:
        """Calls `call` where it will be captured."""

    def capture(self, call: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """Records what `call` does without doing it: a launch of all of it, and the result that a launch writes."""


class CudaGraphs:
    """PyTorch's graphs, on a stream and in a pool of memory of their own.

    All graphs share the pool, as they run one after the other, and none reads what another one left there: what lives
    on between them must have been allocated before, outside.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            self._pool = torch.cuda.graph_pool_handle()
        self._graphs: list[torch.cuda.CUDAGraph] = []

    def warm_up(self, call: Callable[[], Result]) -> Result:
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            self._stream.wait_stream(current)
            with torch.cuda.stream(self._stream):
                result = call()
            current.wait_stream(self._stream)
        return result

    def capture(self, call: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        with torch.cuda.device(self._device):
            current = torch.cuda.current_stream()
            graph = torch.cuda.CUDAGraph()
            self._graphs.append(graph)  # also one that fails: the allocator goes on asking it whether it captures
            try:
                # Other threads may use the device meanwhile, for all that a capture of this thread minds.
                with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                    result = call()
            finally:
                torch.cuda.set_stream(current)  # a capture that fails leaves its own stream behind
        return graph.replay, result


class CapturedCalls:
    """Runs calls that differ in nothing but their key and what is in their tensors. One thread at a time.

    A call must read its inputs from the same memory every time, write what it leaves in the same memory, and not wait
    for the device. Without `graphs` every call is simply made.
    """

    def __init__(self, graphs: Graphs | None) -> None:
        self._graphs = graphs
        self._seen: Counter[Hashable] = Counter()
        self._captured: dict[Hashable, tuple[Callable[[], None], Any]] = {}

    @property
    def captured(self) -> int:
        """How many keys have a graph."""
        return len(self._captured)

    def run(self, key: Hashable, call: Callable[[], Result]) -> Result:
        """Does what `call` does and returns what it returns.

        The result of a captured call is written again by the next one of its key. A capture that fails is said once;
        this call and all that follow are then made one by one.
        """
        if self._graphs is None:
            return call()
        if key not in self._captured:
            self._seen[key] += 1
            if self._seen[key] <= WARM_UPS:
                return self._graphs.warm_up(call)
            try:
                self._captured[key] = self._graphs.capture(call)
            except RuntimeError as error:
                self._give_up(error)
                return call()
        launch, result = self._captured[key]
        launch()
        return result  # type: ignore[no-any-return]

    def _give_up(self, error: RuntimeError) -> None:
        self._graphs = None
        self._captured.clear()
        log.warning(
            "this update cannot be captured in a CUDA graph (%s): updates go on one kernel at a time, more slowly; "
            "--set training.cuda_graphs=false leaves the attempt out",
            error,
        )
