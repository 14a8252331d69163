"""A window of time: strategies sleep until it starts, and nothing that was received at or after its end is read."""

from collections.abc import Iterable, Iterator

import numpy as np

from tapeline.constants import TIME_END, UNDEFINED_TIMESTAMP
from tapeline.reference.records import Chunks
from tapeline.reference.tape import TapeEvent
from tapeline.schema import MBO


class Window:
    """From when to when; None: from the first event, or to the last."""

    def __init__(self, start_ns: int | None = None, end_ns: int | None = None) -> None:
        """Open on both sides unless a side is given."""
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.is_cut = False
        """Whether there was something at or after its end."""

    @property
    def closing_ns(self) -> int | None:
        """Up to when time passes, if the data goes on there; where the data ends before, time ends with it."""
        return self.end_ns if self.is_cut else None

    def chunks(self, chunks: Chunks, *, from_sending: bool) -> Chunks:
        """Records before the first that was received (`from_sending`: sent) at or after the end, as if their file ended there, and no other followed."""
        for chunk, is_last in chunks:
            for i, record in enumerate(chunk if self.end_ns is not None else ()):
                if self._is_over(_received(record, from_sending=from_sending)):
                    yield np.asarray(chunk[:i], MBO), True
                    return
            yield chunk, is_last

    def events(self, events: Iterable[TapeEvent]) -> Iterator[TapeEvent]:
        """The same for tape events."""
        for event in events:
            if self._is_over(event.ts_recv):
                return
            yield event

    def _is_over(self, ts_recv: int) -> bool:
        """Whether that is at or after the end. What is no time is damage, and left to whoever looks for it."""
        self.is_cut = self.end_ns is not None and self.end_ns <= ts_recv < TIME_END
        return self.is_cut


def _received(record: np.void, *, from_sending: bool) -> int:
    ts_recv, ts_event = int(record["ts_recv"]), int(record["ts_event"])
    if ts_recv == UNDEFINED_TIMESTAMP:
        return ts_event
    return ts_recv - int(record["ts_in_delta"]) if from_sending else ts_recv
