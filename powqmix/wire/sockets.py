"""The two sockets of the episode channel, with every option that was found to be needed, and why.

PUSH/PULL loses what a killed peer had not read; a ROUTER above its high-water mark drops silently. Credit and
acknowledgements make up for both (sender.py, sessions.py); these options keep the rest from standing in the way.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from urllib.parse import urlsplit

import zmq

HEARTBEAT_MS = 1000  # ZMTP pings: a dead link is seen within HEARTBEAT_TIMEOUT_MS
HEARTBEAT_TIMEOUT_MS = 3000
HEADER_BYTES = 64 * 1024  # room for a header beside the episode


class EndpointInUse(RuntimeError):
    """Another learner listens there."""


class EndpointRefused(ValueError):
    """An endpoint that this process will not use."""


def check_endpoint(endpoint: str) -> None:
    """Raises EndpointRefused unless the endpoint stays on this host and its files are nobody else's."""
    kind = urlsplit(endpoint).scheme
    if kind == "tcp":
        raise EndpointRefused(f"{endpoint}: tcp needs encryption with the run's keys; on one host use ipc:///path")
    if kind not in ("ipc", "inproc"):
        raise EndpointRefused(f"{endpoint!r} is no endpoint; use ipc:///path")
    if kind == "ipc" and len(endpoint.removeprefix("ipc://")) > 100:
        raise EndpointRefused(f"{endpoint}: a socket's path may have 100 characters; use a shorter folder")


def lock_endpoint(endpoint: str) -> int | None:
    """Takes an ipc path for this process: a second bind would silently steal the first one's peers.

    Returns a descriptor to keep open, None for endpoints that need no lock. Raises EndpointInUse with the owner's pid.
    """
    check_endpoint(endpoint)
    if not endpoint.startswith("ipc://"):
        return None
    path = Path(endpoint.removeprefix("ipc://") + ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise EndpointInUse(
            f"{endpoint} is in use by process {owner}; end it, or choose another run directory"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _common(socket: zmq.Socket[bytes], max_message_bytes: int) -> None:
    socket.setsockopt(zmq.LINGER, 0)  # the default waits for ever at exit
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 5000)
    socket.setsockopt(zmq.MAXMSGSIZE, max_message_bytes)  # the sender checks too: what is too large vanishes silently
    socket.setsockopt(zmq.SNDHWM, 10_000)  # credit bounds what is in flight, long before this does
    socket.setsockopt(zmq.RCVHWM, 10_000)


def bind_router(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, max_episode_bytes: int) -> zmq.Socket[bytes]:
    """The learner's socket. Raises EndpointRefused if the system will not have it there."""
    socket = context.socket(zmq.ROUTER)
    _common(socket, max_episode_bytes + HEADER_BYTES)
    socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a reconnecting actor takes its identity over from the dead link
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an answer to a peer that left is an error, not a silent drop
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise EndpointRefused(f"{endpoint} cannot be listened on ({error.strerror}); choose another folder") from None
    return socket


def connect_dealer(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, identity: bytes, max_message_bytes: int
) -> zmq.Socket[bytes]:
    """An actor's socket; `identity` is the same over reconnects of one process."""
    check_endpoint(endpoint)
    socket = context.socket(zmq.DEALER)
    _common(socket, max_message_bytes + HEADER_BYTES)
    socket.setsockopt(zmq.IDENTITY, identity)
    socket.setsockopt(zmq.IMMEDIATE, 1)  # queue for a learner that is there, not for one that may never come
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    socket.connect(endpoint)
    return socket
