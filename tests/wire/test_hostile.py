"""Whatever bytes arrive, the learner's side counts them and goes on."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powqmix.wire import messages as m
from powqmix.wire.frames import checksum
from powqmix.wire.sessions import STRIKES, Sessions

from .episodes import as_bytes, episode, header_of, hello
from .world import Sink, Throttle, make_sessions

PEER = b"peer"
MUTANTS = 100_000


def joined(role: m.Role = "train") -> tuple[Sessions, Sink]:
    """A learner that has welcomed PEER, incarnation 7."""
    sink = Sink()
    sessions = make_sessions(sink, Throttle(10**6))
    replies = sessions.handle(PEER, [m.encode(hello(role=role))], 0.0)
    assert isinstance(replies[0].message, m.Welcome)
    return sessions, sink


def send(sessions: Sessions, seq: int, *, peer: bytes = PEER, **changes: Any) -> list[m.Message]:
    """Sends a sound episode but for `changes` of its header; returns the answers."""
    header = msgspec.structs.replace(header_of(episode(seq), seq), **changes)
    return answers(sessions, [m.encode(header), *as_bytes(episode(seq))], peer)


def answers(sessions: Sessions, parts: list[bytes], peer: bytes = PEER) -> list[m.Message]:
    """What is answered to a message as it comes off a socket; an actor can read all of it."""
    replies = sessions.handle(peer, [memoryview(part) for part in parts], 1.0)
    for reply in replies:
        assert m.decode_from_learner(m.encode(reply.message)) == reply.message
    return [reply.message for reply in replies]


def counted(sessions: Sessions) -> int:
    """Everything that was refused, and every episode that was taken."""
    return sessions.refused.total() + sum(sessions.counters()[k] for k in ("stored", "rejected", "duplicated"))


# -- Bytes that are no message -----------------------------------------------------------------------------------------


def mutant(rng: random.Random, sound: bytes) -> bytes:
    """A header with bytes changed, cut out, put in or repeated."""
    data = bytearray(sound)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == 2:
            del data[at : at + rng.randint(1, 8)]
        elif kind == 3:
            data += data[:at]
        elif at < len(data):
            data[at] = rng.randrange(256)
    return bytes(data)


def test_a_hundred_thousand_mutated_headers_raise_nothing_and_are_counted() -> None:
    """Each comes from a peer of its own, some after a HELLO, with or without the frames of an episode."""
    rng = random.Random(5)
    sessions, sink = joined()
    sound = [
        m.encode(message)
        for message in (
            hello(), header_of(episode(1), 1), m.Ping(7, 1, 1, 0, 0.5, 0), m.Fetch(7),
            m.TestResult(7, 1, 1, [1.0], [True], [3]), m.Bye(7, 1, 0, 0),
        )
    ]  # fmt: skip
    frames = [memoryview(frame) for frame in as_bytes(episode(1))]
    understood = 0
    for number in range(MUTANTS):
        if number % 100 == 0:  # a new learner and a sound HELLO: else PEER stayed closed
            sessions = make_sessions(sink, Throttle(10**6))
            sessions.handle(PEER, [sound[0]], 0.0)
        peer = PEER if number % 3 == 0 else b"peer %d" % number
        before = counted(sessions)
        message = [mutant(rng, rng.choice(sound)), *(frames if rng.random() < 0.5 else [])]
        replies = sessions.handle(peer, message, float(number))
        sessions.acknowledge({peer})
        if counted(sessions) == before:  # it was understood, and answered
            assert replies
            understood += 1
    assert 0 < understood < MUTANTS / 2  # a few mutants are messages
    assert {seq for episodes in sink.journal.values() for seq in episodes} <= {1}


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_noise_of_any_shape_is_refused(parts: list[bytes]) -> None:
    sessions, sink = joined()
    answers(sessions, parts)
    assert sessions.refused == {"unreadable": 1}
    assert len(sink) == 0


@pytest.mark.parametrize("where", ["as a header", "as a frame", "as frames"])
def test_ten_megabytes_of_noise_are_refused(where: str) -> None:
    noise = random.Random(1).randbytes(10_000_000)
    header = m.encode(header_of(episode(1), 1))
    sessions, sink = joined()
    if where == "as a header":
        answers(sessions, [noise])
    elif where == "as a frame":
        answers(sessions, [header, noise])
    else:
        answers(sessions, [header, *(noise[i : i + 100] for i in range(0, len(noise), 100))])
    assert sessions.refused.total() == 1
    assert len(sink) == 0


# -- Three strikes -----------------------------------------------------------------------------------------------------


def test_three_unreadable_messages_close_a_peer_and_no_other() -> None:
    sessions, _ = joined()
    sessions.handle(b"other", [m.encode(hello(actor=1, incarnation=8))], 0.0)
    for _ in range(STRIKES - 1):
        assert answers(sessions, [b"noise"]) == []
    (refusal,) = answers(sessions, [b"noise"])
    assert isinstance(refusal, m.Refuse)
    assert [state.incarnation for state in sessions.present()] == [8]
    assert answers(sessions, [m.encode(hello())]) == []
    assert send(sessions, 1) == []
    assert sessions.refused == {"unreadable": 3, "closed peer": 2}
    send(sessions, 1, peer=b"other", incarnation=8)
    assert sessions.stored == 1


def test_damaged_frames_are_strikes_too() -> None:
    sessions, sink = joined()
    for _ in range(STRIKES - 1):
        assert send(sessions, 1, crc32=1) == [m.Unknown()]  # it shall send again
    (refusal,) = send(sessions, 1, crc32=1)
    assert isinstance(refusal, m.Refuse)
    assert len(sink) == 0


def test_a_closed_peer_frees_its_credit() -> None:
    sessions = make_sessions(Sink(), Throttle(4))
    sessions.handle(PEER, [m.encode(hello())], 0.0)
    sessions.handle(b"other", [m.encode(hello(actor=1, incarnation=8))], 0.0)
    assert [state.allowed_upto for state in sessions.present()] == [4, 0]
    for _ in range(STRIKES):
        sessions.handle(PEER, [b""], 0.0)
    assert [reply.peer for reply in sessions.regrant()] == [b"other"]
    assert [state.allowed_upto for state in sessions.present()] == [4]


# -- Messages that can be read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [header_of(episode(1), 1), m.Ping(7, 1, 1, 0, 0.5, 0), m.Fetch(7), m.Bye(7, 1, 0, 0)],
    ids=lambda message: type(message).__name__,
)
def test_a_stranger_is_told_to_say_hello(message: m.Message) -> None:
    sessions, sink = joined()
    for stranger in (b"stranger", b""):
        assert answers(sessions, [m.encode(message), *as_bytes(episode(1))], stranger) == [m.Unknown()]
    other = msgspec.structs.replace(message, incarnation=8)  # type: ignore[type-var]
    assert answers(sessions, [m.encode(other), *as_bytes(episode(1))]) == [m.Unknown()]
    assert (len(sink), sessions.refused) == (0, {"no hello": 3})


WRONG = {
    "protocol": {"protocol": 2},
    "run": {"run": "another"},
    "environment": {"env_id": "another"},
    "schema": {"schema": "limit 7"},
    "size": {"max_episode_bytes": 1},
}


@pytest.mark.parametrize("code", sorted(WRONG))
def test_an_actor_of_another_run_is_refused_and_told_why(code: str) -> None:
    sessions = make_sessions(Sink(), Throttle(10))
    (refusal,) = answers(sessions, [m.encode(msgspec.structs.replace(hello(), **WRONG[code]))])
    assert isinstance(refusal, m.Refuse)
    assert refusal.code == code
    value = next(iter(WRONG[code].values()))
    assert str(value) in refusal.text  # what it said, beside what was wanted
    assert sessions.refused == {code: 1}
    assert sessions.present() == []


def test_a_refusal_can_be_read_however_long_the_actors_layout_is() -> None:
    sessions = make_sessions(Sink(), Throttle(10))
    (refusal,) = answers(sessions, [m.encode(msgspec.structs.replace(hello(), schema="x" * 4096))])
    assert isinstance(refusal, m.Refuse)


def test_an_episode_with_nan_is_rejected_counted_and_acknowledged() -> None:
    sessions, sink = joined()
    frames = as_bytes(episode(1))
    for index in (0, 1, 4):
        bad = list(frames)
        bad[index] = b"\xff" * len(bad[index])
        header = header_of(episode(1), sessions.rejected["not finite"] + 1)
        header = msgspec.structs.replace(header, crc32=checksum(bad))
        assert answers(sessions, [m.encode(header), *bad]) == []
    (ack,) = [reply.message for reply in sessions.acknowledge({PEER})]
    assert isinstance(ack, m.Ack)
    assert (ack.upto, ack.rejects, len(sink)) == (3, 3, 0)
    assert sessions.rejected == {"not finite": 3}
    send(sessions, 4)  # what comes after is stored
    assert sessions.counters() | {"aborted": 0} == {
        "sent": 4, "stored": 1, "rejected": 3, "duplicated": 0, "lost": 0, "undelivered": 0, "aborted": 0,
    }  # fmt: skip


def test_an_evaluator_has_no_credit_and_its_episodes_are_refused() -> None:
    sessions, sink = joined("test")
    (state,) = sessions.present("test")
    assert state.allowed_upto == 0
    send(sessions, 1)
    assert (len(sink), sessions.refused) == (0, {"not a player": 1})


GOOD = m.TestResult(7, 3, 1, [1.0, 2.0], [True, False], [4, 5])


@pytest.mark.parametrize(
    "result",
    [
        msgspec.structs.replace(GOOD, returns=[1.0, float("nan")]),
        msgspec.structs.replace(GOOD, lengths=[4]),
        m.TestResult(7, 3, 1, [], [], []),
    ],
    ids=["not a number", "uneven", "empty"],
)
def test_a_test_result_is_taken_once_and_a_bad_one_never(result: m.TestResult) -> None:
    sessions, _ = joined("test")
    taken: list[m.TestResult] = []
    sessions._on_test_result = taken.append
    sessions.request_test(m.Test(3, 2, 1))
    assert answers(sessions, [m.encode(result)]) == [m.TestAck(3)]
    assert (taken, sessions.refused) == ([], {"test result": 1})
    for _ in range(2):
        assert answers(sessions, [m.encode(GOOD)]) == [m.TestAck(3)]
    assert taken == [GOOD]


def test_two_incarnations_behind_one_address_do_not_keep_credit_twice() -> None:
    sessions = make_sessions(Sink(), Throttle(4))
    sessions.handle(PEER, [m.encode(hello())], 0.0)
    sessions.handle(PEER, [m.encode(hello(actor=1, incarnation=8))], 0.0)
    assert [(s.incarnation, s.allowed_upto) for s in sessions.present()] == [(8, 4)]
