"""Equal episodes of a batch, found in their stored bytes: small games repeat themselves.

A batch of 128 episodes of a matrix game with 9 joint actions holds at most 9 different ones. Counted instead of
repeated, they make the same losses out of a fourteenth of the arithmetic.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_EPISODE_BYTES = 1024  # longer episodes hardly ever repeat, and looking costs time


def distinct(
    payload: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first of each group of equal episodes, as ascending indices [D], and how many are in its group [D].

    Episode b is the `sizes[b]` bytes of `payload` from `offsets[b]` on. Equal bytes mean equal episodes, as an
    episode's size tells how many steps it has.
    """
    view = memoryview(payload)  # type: ignore[arg-type]
    places: dict[bytes, int] = {}
    first: list[int] = []
    counts: list[int] = []
    # A dict and bytes: a batch has some hundred episodes, too few for numpy's sorting to pay.
    for at, (offset, size) in enumerate(zip(offsets.tolist(), sizes.tolist(), strict=True)):
        place = places.setdefault(bytes(view[offset : offset + size]), len(first))
        if place == len(first):
            first.append(at)
            counts.append(0)
        counts[place] += 1
    return np.array(first), np.array(counts)
