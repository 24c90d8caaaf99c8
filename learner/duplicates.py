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
    columns = np.arange(int(sizes.max()))
    rows = payload.take(offsets[:, None] + columns, mode="clip")  # what is beyond an episode's end is masked
    if sizes.min() < sizes.max():
        rows[columns >= sizes[:, None]] = 0
    keys = np.concatenate([rows, sizes.reshape(-1, 1).view(np.uint8)], axis=1)
    _, first, counts = np.unique(keys.view(f"V{keys.shape[1]}").ravel(), return_index=True, return_counts=True)
    order = first.argsort()
    return first[order], counts[order]
