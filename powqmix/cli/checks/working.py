"""What training does, tried in small: messages between processes, episodes, an update."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from .finding import MISSING, OK, WRONG, Finding


def round_trip(rounds: int = 100) -> Finding:
    """Messages between two sockets as learner and actors have them, over a real file of this machine."""
    try:
        import zmq

        from powqmix.wire.sockets import bind_router, connect_dealer
    except ImportError:
        return Finding("ipc", MISSING, "cannot be tried without pyzmq", "pip install pyzmq", required=True)
    context: Any = zmq.Context()
    try:
        with tempfile.TemporaryDirectory(prefix="powqmix-") as folder:
            endpoint = f"ipc://{folder}/s"
            router = bind_router(context, endpoint, 1 << 20)
            dealer = connect_dealer(context, endpoint, b"doctor", 1 << 20)
            times = []
            for _ in range(rounds):
                start = time.perf_counter()
                dealer.send(b"ping")
                if not router.poll(5000):
                    raise TimeoutError("no answer within 5 s")
                router.send_multipart(router.recv_multipart())
                if not dealer.poll(5000) or dealer.recv() != b"ping":
                    raise TimeoutError("no answer within 5 s")
                times.append(time.perf_counter() - start)
    except (OSError, ValueError, TimeoutError, zmq.ZMQError) as error:
        remedy = (
            f"look at the rights and the space of {tempfile.gettempdir()} (TMPDIR), and at sandbox rules on sockets"
        )
        return Finding("ipc", WRONG, f"a message did not come back: {error}", remedy, required=True)
    finally:
        context.destroy(linger=0)
    return Finding("ipc", OK, f"{rounds} messages there and back, {1e6 * median(times):.0f} us each", required=True)


def training_step() -> Finding:
    """Plays a few episodes of a small game and learns from them once, on the device that a run would use."""
    try:
        seconds, device = _train_once()
    except Exception as error:  # whatever fails here would fail in a run: it is the finding
        remedy = "see the lines above; if they are all ok, report this with the output of powqmix doctor --json"
        return Finding("training", WRONG, f"{type(error).__name__}: {error}", remedy, required=True)
    return Finding("training", OK, f"episodes played and learned from, on {device}, {seconds:.1f} s", required=True)


def _train_once() -> tuple[float, str]:
    import torch

    from powqmix import config as configuration
    from powqmix import envs
    from powqmix.learner.batch import BatchBuffers
    from powqmix.learner.replay import ReplayRing
    from powqmix.learner.update import Update
    from powqmix.types import episode_schema

    from ..workload import fill, player

    start = time.perf_counter()
    torch.set_num_threads(1)  # the networks are too small for more, which only wait for each other
    small = ("env.grid=4", "env.n_agents=2", "env.n_prey=2", "env.episode_limit=8", "training.batch_size=4")
    config = configuration.resolve("predator_prey", assignments=[*small, "replay.capacity=4"])
    spec = envs.spec(config.env_id, **config.env)
    schema = episode_schema(spec)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    update = Update(config, spec, device)
    rollout, _ = player(config, 4, schema, update.policy_vector())
    with tempfile.TemporaryDirectory(prefix="powqmix-") as folder:
        ring = ReplayRing.create(Path(folder) / "ring", schema, 4)
        with ring:
            fill(ring, rollout, 4, 1.0)
            update(ring.gather(ring.stored(), BatchBuffers(schema, 4)), 0)
    if update.consecutive_skipped():
        raise ArithmeticError("the update gave losses or gradients that are not finite")
    return time.perf_counter() - start, str(device)
