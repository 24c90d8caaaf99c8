"""Every message between actors and the learner, as typed records that are checked when they are decoded.

A message is one MessagePack map (its `type` names the record), followed for EPISODE and PARAMETERS by raw frames.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

PROTOCOL = 1

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Crc = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Epsilon = Annotated[float, Meta(ge=0.0, le=1.0)]  # a bound on a float refuses NaN too
Seconds = Annotated[float, Meta(ge=0.0, le=1e12)]
ShortText = Annotated[str, Meta(max_length=256)]
Role = Literal["train", "test"]


class Message(Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """The base of all."""


class Hello(Message, frozen=True, tag="HELLO"):
    """An actor introduces itself; `schema` is the text of its episodes' layout (`frames.describe`)."""

    protocol: int
    run: ShortText
    actor: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    role: Role
    incarnation: Count  # random, new with every start of the process
    host: ShortText
    pid: int
    env_id: ShortText
    schema: Annotated[str, Meta(max_length=4096)]
    max_episode_bytes: Count


class Welcome(Message, frozen=True, tag="WELCOME"):
    """The learner takes the actor in: everything up to `last_seq_acked` is stored."""

    epoch: Count  # random, new with every start of the learner
    last_seq_acked: Count
    credit: Count
    parameter_version: Count
    parameters_path: Annotated[str, Meta(max_length=4096)]
    heartbeat_ms: Count
    epsilon: Epsilon
    lockstep: bool


class Refuse(Message, frozen=True, tag="REFUSE"):
    """The learner will not work with this actor; it ends with exit code 78."""

    code: ShortText
    text: Annotated[str, Meta(max_length=4096)]


class Unknown(Message, frozen=True, tag="UNKNOWN"):
    """The learner started anew and does not know the sender, or misses something it sent: it should say HELLO again."""


class EpisodeHeader(Message, frozen=True, tag="EPISODE"):
    """A finished episode; its arrays follow as one frame for each field of the schema."""

    incarnation: Count
    seq: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    parameter_version: Count
    steps: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    terminated: bool
    truncated: bool
    episode_return: float
    battle_won: bool
    epsilon: Epsilon
    crc32: Crc
    sent: Count  # highest sequence number this incarnation has sent
    acked_upto: Count  # highest that it knows to be acknowledged


class Ack(Message, frozen=True, tag="ACK"):
    """All up to `upto` is settled (stored or refused); the actor may send up to `upto + credit`."""

    incarnation: Count
    upto: Count
    credit: Count
    rejects: Count
    parameter_version: Count
    epsilon: Epsilon


class Ping(Message, frozen=True, tag="PING"):
    """A sign of life with the actor's own counts."""

    incarnation: Count
    env_steps: Count
    sent: Count
    acked_upto: Count
    stalled_s: Seconds
    aborted: Count


class Fetch(Message, frozen=True, tag="FETCH"):
    """Asks for the newest parameters, for actors that do not share memory with the learner."""

    incarnation: Count


class Parameters(Message, frozen=True, tag="PARAMETERS"):
    """The flat float32 vector follows as one frame."""

    version: Count
    crc32: Crc


class Test(Message, frozen=True, tag="TEST"):
    """Asks the evaluator for greedy episodes with these parameters or newer ones."""

    __test__ = False

    test_id: Count
    episodes: Annotated[int, Meta(ge=1, le=100_000)]
    parameter_version: Count


class TestResult(Message, frozen=True, tag="TEST_RESULT"):
    """What came of a test; sent again until the next one, and taken once."""

    __test__ = False

    incarnation: Count
    test_id: Count
    parameter_version: Count
    returns: Annotated[list[float], Meta(max_length=100_000)]
    wons: Annotated[list[bool], Meta(max_length=100_000)]
    lengths: Annotated[list[Count], Meta(max_length=100_000)]


class TestAck(Message, frozen=True, tag="TEST_ACK"):
    __test__ = False

    test_id: Count


class Drain(Message, frozen=True, tag="DRAIN"):
    """No more credit: flush what is finished, say BYE."""


class Bye(Message, frozen=True, tag="BYE"):
    """The actor leaves; its counts are final."""

    incarnation: Count
    sent: Count
    acked_upto: Count
    aborted: Count


class ByeAck(Message, frozen=True, tag="BYE_ACK"):
    """Seen; the actor may close."""


FromActor = Hello | EpisodeHeader | Ping | Fetch | TestResult | Bye
FromLearner = Welcome | Refuse | Unknown | Ack | Parameters | Test | TestAck | Drain | ByeAck

encode = msgspec.msgpack.Encoder().encode
decode_from_actor = msgspec.msgpack.Decoder(FromActor).decode
decode_from_learner = msgspec.msgpack.Decoder(FromLearner).decode
DECODE_ERRORS = (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError)
