"""The native checksum is zlib's, whatever the sizes, the pieces and the instructions."""

from __future__ import annotations

import zlib

import numpy as np
import powqmix._C as _C
import pytest
from hypothesis import given
from hypothesis import strategies as st

SIZES = sorted({*range(200), *(64 * k + d for k in (4, 16, 33) for d in (-17, -1, 0, 1, 15, 16, 63)), 100_003})


@pytest.mark.parametrize("portable", [False, True])
def test_every_size_and_alignment_gives_zlibs_checksum(portable: bool) -> None:
    data = np.random.default_rng(0).integers(0, 256, 100_100, dtype=np.uint8)
    for size in SIZES:
        for first in (0, 1, 7):
            piece = data[first : first + size]
            assert _C.crc32([piece], portable) == zlib.crc32(piece), (size, first)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_pieces_count_as_one(pieces: list[bytes]) -> None:
    assert _C.crc32(pieces) == _C.crc32(pieces, True) == zlib.crc32(b"".join(pieces))


def test_a_buffer_of_any_type_is_its_bytes_and_one_with_gaps_is_refused() -> None:
    halves = np.arange(1000, dtype=np.float16).reshape(10, 100)
    assert _C.crc32([halves, memoryview(b"abc")]) == zlib.crc32(halves.tobytes() + b"abc")
    with pytest.raises((BufferError, ValueError)):  # numpy raises the second
        _C.crc32([halves[:, ::2]])
    with pytest.raises(TypeError):
        _C.crc32([1])
