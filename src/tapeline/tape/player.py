"""A tape as the source of tape events, in place of the normaliser."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tapeline.constants import PRICE_SCALE
from tapeline.errors import ConfigError
from tapeline.instruments import Instrument, Instruments, format_price
from tapeline.schema import TAPE_EVENT
from tapeline.tape.file import TapeInput, TapeInstrument
from tapeline.tape.file_kernels import AT_ONCE
from tapeline.tape.reader import CHUNK_EVENTS


class TapePlayer:
    """Gives out the tape events of a tape, chunk by chunk, as TapeReader does those of DBN."""

    def __init__(self, source: TapeInput, instruments: Instruments, on_instrument: Callable[[Instrument], None]) -> None:
        """Prepare to play `source`. `on_instrument` is told of every book before its first tape event.

        Raises ConfigError where an instrument is described with another grid than it has on the tape.
        """
        self._input = source
        self._instruments = instruments
        self._on_instrument = on_instrument
        self._buffer = np.zeros(1 + CHUNK_EVENTS + AT_ONCE - 1, TAPE_EVENT)  # in front the event before: the first half of a modify may be the last of a chunk
        self._events = self._buffer[1:]
        self._places = np.full(max(len(source.instruments), 1), -1, np.int64)
        self._done = 0
        self._stopped = False
        self.in_books = False
        self._into_books: tuple[Any, int] | None = None
        self._place_of = {tape.key: place for place, tape in enumerate(source.instruments)}
        for instrument in instruments.known:
            self._open(instrument)

    @property
    def counters(self) -> dict[str, int]:
        """What the normaliser counted when the tape was made.

        Nothing before all was given out, and nothing where some of the tape's instruments are left out: what was counted of each of them is not known.
        """
        whole = self._done == self._input.events and (self._places[: len(self._input.instruments)] >= 0).all()
        return self._input.counters if whole else {"records": self.records}

    @property
    def records(self) -> int:
        """Records of the source so far, in proportion to the tape events."""
        return self._input.counters["records"] * self._done // max(self._input.events, 1)

    @property
    def bytes_done(self) -> int:
        """Of the tape."""
        return self._done * TAPE_EVENT.itemsize

    @property
    def events_address(self) -> int:
        """Where the tape events of a chunk lie."""
        return int(self._events.ctypes.data)

    @property
    def events(self) -> np.ndarray[Any, Any]:
        """The buffer of tape events."""
        return self._events

    def keep_books(self, kernel: Any, replay: int) -> None:
        """As TapeReader's."""
        self.in_books = len(self._input.instruments) == 1
        self._into_books = (kernel, replay) if self.in_books else None

    def stop(self) -> None:
        """Give out no more chunks."""
        self._stopped = True

    def chunks(self) -> Iterator[tuple[int, None]]:
        """Number of tape events in the buffer, chunk by chunk. Raises DataError, after all before it was given out, where the tape is damaged."""
        waiting = [] if self._instruments.only is not None else list(enumerate(self._input.instruments))
        for written, done in self._input.chunks(self._events, self._places, [tape.opened_at for _, tape in waiting], self._into_books):
            self._done = done
            n = written if self._input.end_ns is None else self._before_end(written, self._input.end_ns)
            if n:
                yield n, None
                self._buffer[0] = self._buffer[n]
            if self._stopped:
                return
            while waiting and waiting[0][1].opened_at <= done:
                self._register(waiting.pop(0)[1])

    def _before_end(self, n: int, end_ns: int) -> int:
        """How many of a chunk's tape events come before the first that was received at or after a time: there the tape ends."""
        is_over = self._events["ts_recv"][:n] >= end_ns
        if not is_over.any():
            return n
        self._input.is_cut = self._stopped = True
        before = int(is_over.argmax())
        self._done -= n - before
        return before

    def _register(self, tape: TapeInstrument) -> None:
        instrument = self._instruments.register(tape.key)
        if instrument is not None:
            self._open(instrument)

    def _open(self, instrument: Instrument) -> None:
        place = self._place_of.get(instrument.key)
        if place is not None:
            tape = self._input.instruments[place]
            if tape.grid != instrument.grid:
                its, given = (format_price(one.grid / PRICE_SCALE) for one in (tape, instrument))
                raise ConfigError(
                    f"{self._input.path}: on this tape {tape.symbol or tape.instrument_id} has a grid of {its}, not of {given}: "
                    "leave tick_size and definitions out, or make a tape with them"
                )
            self._places[place] = instrument.index
        self._on_instrument(instrument)
