"""The records of an input, each with the one after it in its file."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tapeline.constants import Action, RecordFlag
from tapeline.instruments import Key

MboTuple = tuple[int, ...]
"""The fields of a record, in the order of `schema.MBO`."""
Chunks = Iterable[tuple[np.ndarray[Any, Any], bool]]
"""Arrays of `schema.MBO`, each with whether it is the last of its file."""


class Record(NamedTuple):
    """A DBN MBO record, fields as in `schema.MBO`."""

    length: int
    rtype: int
    publisher_id: int
    instrument_id: int
    ts_event: int
    order_id: int
    price: int
    size: int
    flags: int
    channel_id: int
    action: int
    side: int
    ts_recv: int
    ts_in_delta: int
    sequence: int

    @property
    def key(self) -> Key:
        """Which book it is of."""
        return self.publisher_id, self.instrument_id

    @property
    def is_snapshot(self) -> bool:
        """Whether it belongs to a snapshot."""
        return bool(self.flags & RecordFlag.SNAPSHOT)

    @property
    def ends_event(self) -> bool:
        """Whether the venue ends an event with it. An R that begins no snapshot does so, flagged or not: Nasdaq's days begin with one that is not."""
        return bool(self.flags & RecordFlag.LAST) or (self.action == Action.CLEAR and not self.is_snapshot)


def records_with_next(chunks: Chunks) -> Iterator[tuple[MboTuple, MboTuple | None]]:
    """Each record with the one after it in its file, over the seams of chunks; None after the last of a file."""
    record: MboTuple | None = None
    for chunk, is_last_of_file in chunks:
        for following in chunk.tolist():
            if record is not None:
                yield record, following
            record = following
        if is_last_of_file and record is not None:
            yield record, None
            record = None
    if record is not None:
        yield record, None
