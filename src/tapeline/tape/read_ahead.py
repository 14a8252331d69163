"""Normalising on a thread of its own, one chunk ahead of the engine."""

from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from tapeline.errors import DataError
from tapeline.feeds.ahead import ahead
from tapeline.feeds.dbn import DbnInput
from tapeline.instruments import Instrument, Instruments
from tapeline.tape.reader import TapeReader

BUFFERS: Final = 3
"""One that the engine works on, one that waits, one that is being filled."""


class Chunk(NamedTuple):
    """Tape events handed over, the instruments to be opened before them, and how far the input was read."""

    events: np.ndarray[Any, Any]
    n: int
    opened: tuple[Instrument, ...]
    records: int
    bytes_done: int


class ReadAhead:
    """A TapeReader whose chunks are made on another thread. Books are opened on this one, before their first tape event, as without."""

    in_books = False

    def __init__(self, source: DbnInput, instruments: Instruments, on_instrument: Callable[[Instrument], None]) -> None:
        """Prepare to read `source`; as TapeReader."""
        self._on_instrument = on_instrument
        self._opened: list[Instrument] = []
        self._reader = TapeReader(source, instruments, self._opened.append)
        self._buffers = [self._reader.events, *(np.zeros_like(self._reader.events) for _ in range(BUFFERS - 1))]
        self.events = self._buffers[0]
        self.events_address = self._reader.events_address
        self.records = self.bytes_done = 0

    @property
    def counters(self) -> dict[str, int]:
        """What was counted; complete when all chunks were taken."""
        return self._reader.counters

    def stop(self) -> None:
        """Read no further: the chunks that were made already are the last."""
        self._reader.stop()

    def chunks(self) -> Iterator[tuple[int, None]]:
        """Number of tape events at `events_address`, chunk by chunk. Raises DataError as TapeReader does."""
        for chunk in ahead(self._made()):
            for instrument in chunk.opened:
                self._on_instrument(instrument)
            self.events, self.events_address = chunk.events, int(chunk.events.ctypes.data)
            self.records, self.bytes_done = chunk.records, chunk.bytes_done
            if chunk.n:
                yield chunk.n, None

    def _made(self) -> Generator[Chunk, None, None]:
        turn = 0
        damage = None
        try:
            for n, _ in self._reader.chunks():
                yield self._chunk(n)
                turn = (turn + 1) % BUFFERS
                self._reader.write_to(self._buffers[turn])
        except DataError as error:
            damage = error
        yield self._chunk(0)  # books whose first record was the last
        if damage is not None:
            raise damage

    def _chunk(self, n: int) -> Chunk:
        opened = tuple(self._opened)
        self._opened.clear()
        return Chunk(self._reader.events, n, opened, self._reader.records, self._reader.bytes_done)
