"""Messages: what is written is read again, by another reader of MessagePack too, and nothing else is."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any, get_args

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powqmix.wire import messages as m

from .episodes import episode, header_of, hello

FROM_ACTOR: tuple[type[m.Message], ...] = get_args(m.FromActor)
FROM_LEARNER: tuple[type[m.Message], ...] = get_args(m.FromLearner)
ALL = [*FROM_ACTOR, *FROM_LEARNER]


def values(kind: Any) -> st.SearchStrategy[Any]:
    """All that a field of a message may hold."""
    if isinstance(kind, msgspec.inspect.IntType):
        lowest, highest = kind.ge, kind.le
        return st.integers(-(2**63) if lowest is None else lowest, 2**63 - 1 if highest is None else highest)
    if isinstance(kind, msgspec.inspect.FloatType):
        return st.floats(kind.ge, kind.le, allow_nan=False)
    if isinstance(kind, msgspec.inspect.StrType):
        return st.text(max_size=20)
    if isinstance(kind, msgspec.inspect.BoolType):
        return st.booleans()
    if isinstance(kind, msgspec.inspect.LiteralType):
        return st.sampled_from(kind.values)
    assert isinstance(kind, msgspec.inspect.ListType), kind
    return st.lists(values(kind.item_type), max_size=5)


def messages(kinds: list[type[m.Message]]) -> st.SearchStrategy[m.Message]:
    def build(kind: type[m.Message]) -> st.SearchStrategy[m.Message]:
        info = msgspec.inspect.type_info(kind)
        assert isinstance(info, msgspec.inspect.StructType)
        return st.builds(kind, **{field.name: values(field.type) for field in info.fields})

    return st.one_of([build(kind) for kind in kinds])


def decode(message: m.Message) -> Any:
    decoder = m.decode_from_actor if type(message) in FROM_ACTOR else m.decode_from_learner
    return decoder(m.encode(message))


def test_every_message_belongs_to_one_direction() -> None:
    kinds = {k for k in vars(m).values() if isinstance(k, type) and issubclass(k, m.Message)} - {m.Message}
    assert kinds == set(ALL)
    assert len(kinds) == len(ALL)


@given(messages(ALL))
def test_a_message_is_read_as_it_was_written(message: m.Message) -> None:
    assert decode(message) == message


@given(messages(ALL))
def test_another_messagepack_reader_finds_the_same_fields(message: m.Message) -> None:
    found = msgpack.unpackb(m.encode(message))
    wanted = {"type": msgspec.inspect.type_info(type(message)).tag, **msgspec.structs.asdict(message)}  # type: ignore
    assert found == wanted


@given(messages(list(FROM_ACTOR)))
def test_a_header_written_by_another_messagepack_writer_is_read(message: m.Message) -> None:
    values = msgspec.structs.asdict(message) | {"type": type(message).__struct_config__.tag}  # last, in any order
    assert m.decode_from_actor(msgpack.packb(values)) == message


@dataclasses.dataclass
class Damage:
    """A header of an episode with one thing wrong."""

    what: str
    change: dict[str, Any]


DAMAGES = [
    Damage("number as text", {"seq": "1"}),
    Damage("number as fraction", {"steps": 1.5}),
    Damage("text as bytes", {"type": b"EPISODE"}),
    Damage("below the least", {"seq": 0}),
    Damage("negative", {"incarnation": -1}),
    Damage("more than 63 bits", {"sent": 2**63}),
    Damage("more than 32 bits", {"crc32": 2**32}),
    Damage("not a number", {"epsilon": float("nan")}),
    Damage("beyond its range", {"epsilon": 1.5}),
    Damage("nothing", {"terminated": None}),
    Damage("a list", {"episode_return": [1.0]}),
    Damage("a field too many", {"extra": 1}),
    Damage("a type of message that there is not", {"type": "EPISODES"}),
    Damage("a message of the other side", {"type": "ACK"}),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.what)
def test_a_wrong_field_is_a_decode_error(damage: Damage) -> None:
    sound = msgpack.unpackb(m.encode(header_of(episode(1), 1)))
    assert m.decode_from_actor(msgpack.packb(sound)) == header_of(episode(1), 1)
    with pytest.raises(m.DECODE_ERRORS):
        m.decode_from_actor(msgpack.packb(sound | damage.change))


@pytest.mark.parametrize("name", list(msgspec.structs.asdict(hello())))
def test_a_missing_field_is_a_decode_error(name: str) -> None:
    fields = msgpack.unpackb(m.encode(hello()))
    del fields[name]
    with pytest.raises(m.DECODE_ERRORS):
        m.decode_from_actor(msgpack.packb(fields))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",  # the one byte that begins nothing
        m.encode(hello())[:-1],
        m.encode(hello()) + b"\0",
        m.encode(hello()).replace(b"host", b"\xff\xfe\xfd\xfc", 1),  # bad UTF-8 as a field's name
        m.encode(m.Hello(1, "r", 0, "train", 1, "nowhere", 1, "e", "s", 1)).replace(b"nowhere", b"\xff" * 7),
        b"\x91" * 100_000,  # lists in lists
        b"\xdf\xff\xff\xff\xff",  # a map of 4 billion entries, of which none follows
        b"\x81" * 100_000,
    ],
    ids=["empty", "no type", "cut", "followed", "bad name", "bad text", "deep lists", "huge map", "deep maps"],
)
def test_what_is_no_message_is_a_decode_error(data: bytes) -> None:
    for decoder in (m.decode_from_actor, m.decode_from_learner):
        with pytest.raises(m.DECODE_ERRORS):
            decoder(data)


@settings(max_examples=300)
@given(messages(list(FROM_ACTOR)), st.data())
def test_any_changed_byte_gives_a_message_or_a_decode_error(message: m.Message, data: st.DataObject) -> None:
    encoded = bytearray(m.encode(message))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(m.DECODE_ERRORS):
        assert isinstance(m.decode_from_actor(bytes(encoded)), FROM_ACTOR)
