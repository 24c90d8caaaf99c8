"""Which episodes of an actor are stored already: the highest sequence number of each incarnation, kept in the file.

The slots know it too, until their episodes are replaced; the table is what still knows it then.
"""

from __future__ import annotations

import numpy as np

from powqmix.types import Array


class SequenceTable:
    """Rows of `replay_layout.SEQUENCE` in the file's memory, found by (actor, incarnation).

    A row's number is one 8-byte store, and a row without a number is empty: killed at any moment, the table holds
    numbers that were written. If all rows are taken, a new incarnation gets the row of the one silent for longest.
    """

    def __init__(self, table: Array) -> None:
        self.table = table
        self._rows = {
            (actor, incarnation): row for row, (actor, incarnation, seq, _) in enumerate(table.tolist()) if seq
        }

    def last_seq(self, actor: int, incarnation: int) -> int:
        """The highest number noted, 0 if none."""
        row = self._rows.get((actor, incarnation))
        return 0 if row is None else int(self.table["seq"][row])

    def note(self, actor: int, incarnation: int, seq: int, insert_index: int) -> None:
        """Episode `seq` was stored as the `insert_index`-th."""
        row = self._rows.get((actor, incarnation))
        if row is None:
            row = self._take_row()
            self.table["actor"][row] = actor
            self.table["incarnation"][row] = incarnation
            self._rows[actor, incarnation] = row
        self.table["last_insert"][row] = insert_index
        self.table["seq"][row] = seq

    def note_stored(self, slots: Array) -> None:
        """Takes over what `slots` of `replay_layout.SLOT` know beyond the table."""
        slots = slots[np.argsort(slots["seq"])]
        pairs = zip(slots["actor"].tolist(), slots["incarnation"].tolist())
        highest = dict(zip(pairs, zip(slots["seq"].tolist(), slots["insert_index"].tolist())))
        for (actor, incarnation), (seq, insert_index) in highest.items():
            if seq > self.last_seq(actor, incarnation):
                self.note(actor, incarnation, seq, insert_index)

    def _take_row(self) -> int:
        empty = np.flatnonzero(self.table["seq"] == 0)
        if len(empty):
            return int(empty[0])
        row = int(np.argmin(self.table["last_insert"]))
        del self._rows[int(self.table["actor"][row]), int(self.table["incarnation"][row])]
        self.table["seq"][row] = 0  # empty until its number is written
        return row
