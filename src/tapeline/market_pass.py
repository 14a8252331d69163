"""A pass over data to look at the market: best prices at asked times, bars, and windows of resting size; the Python side of `market.observe`.

Memory does not grow with the input's length.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tapeline.config import Limits
from tapeline.errors import DataError
from tapeline.fifo import FifoCount
from tapeline.inputs import Data, cores_used, open_input, reader_of, registry
from tapeline.instruments import Instrument
from tapeline.jit import going
from tapeline.market.book import DONE, MAKE_ROOM
from tapeline.market.books import Books, Looks, set_plan
from tapeline.market.observe import BAR, BARS_FULL, CLOCK_START, HEAT, PRINT, PRINTS_FULL, QUOTE, WATCH, Observer, observe

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.void]

_ROWS: Final = 1 << 12
"""Bars and prints that there is room for at first; doubled when they are full."""


@dataclass
class Window:
    """Resting size at `rows` ticks from tick `tick_low` on, in `columns` intervals of `bin_ns` from `start_ns` on."""

    start_ns: int
    bin_ns: int
    columns: int
    tick_low: int
    rows: int
    sizes: npt.NDArray[np.float64] = field(init=False)
    """(columns, 2, rows): mean displayed size over the time of each column, lots, bids first; NaN for columns that the data did not reach the end of."""
    quotes: Rows = field(init=False)
    """(columns,) of bid and ask as each column ended, 1e-9."""
    prints: Rows = field(init=False)
    """Trades: ts, price (1e-9), size, side."""

    def __post_init__(self) -> None:
        """Room for what is asked."""
        self.sizes = np.full((self.columns, 2, self.rows), np.nan)
        self.quotes = np.full(self.columns, QUOTE.type(), QUOTE)
        self.prints = np.zeros(_ROWS, PRINT)
        self._work = np.zeros((2, 2 * self.rows), np.int64)

    @property
    def end_ns(self) -> int:
        """Where the last column ends."""
        return self.start_ns + self.columns * self.bin_ns

    def place(self, heat: Any) -> None:
        """Say in a Heat record where everything lies."""
        for name, value in (
            ("start", self.start_ns), ("bin_ns", self.bin_ns), ("columns", self.columns), ("column", -1), ("tick_low", self.tick_low), ("rows", self.rows),
            ("area", self._work[0].ctypes.data), ("since", self._work[1].ctypes.data), ("sizes", self.sizes.ctypes.data),
            ("quotes", self.quotes.ctypes.data), ("prints", self.prints.ctypes.data), ("prints_capacity", len(self.prints)),
        ):  # fmt: skip
            heat[name] = value


@dataclass
class Watched:
    """What is asked about one instrument, and, after the pass, the answers."""

    times: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """Growing; ns."""
    bar_ns: int = 0
    """0: no bars."""
    windows: list[Window] = field(default_factory=list)
    """In order of time, none overlapping."""
    quotes: Rows = field(init=False)
    """(times,) of bid and ask as the last event at or before each time left them; undefined before the first event, and after the end of the data."""
    bars: Rows = field(init=False)

    def __post_init__(self) -> None:
        """Room for what is asked."""
        self.times = np.ascontiguousarray(self.times, np.int64)
        self.quotes = np.full(len(self.times), QUOTE.type(), QUOTE)
        self.bars = np.zeros(_ROWS if self.bar_ns else 0, BAR)
        self.heats = np.zeros(len(self.windows), HEAT)
        for window, heat in zip(self.windows, self.heats, strict=True):
            window.place(heat)


class Pass:
    """One pass over an input for what is asked about its instruments, by their index."""

    def __init__(self, data: Data, asked: Mapping[int, Watched], *, fifo: FifoCount | None = None, **instruments: Any) -> None:
        """Open the input. `fifo` counts along; `instruments`: see `manifest.market_settings`. Raises ConfigError and DataError."""
        self.asked = asked
        self._fifo = fifo
        self._keep: list[Any] = []
        self._state = state = Observer.array(1)[0]
        self._observe = going(observe, state)
        set_plan(state.plan, [Looks()], self._keep)
        self._books = Books(state.plan, Limits().ladder_levels_max)
        self._watches = np.zeros(4, WATCH)
        source = open_input(data)
        self.instruments = registry(source, multiplier=1.0, **instruments)  # no money is counted
        self._source = source

    def run(self, until_ns: int | None = None) -> DataError | None:
        """Read to the end, or until all that is watched has passed a time; the damage that ended it, if there was one."""
        state, damage = self._state, None
        reader = reader_of(self._source, self.instruments, self._open, threads=cores_used())
        try:
            for n, _ in reader.chunks():
                if self._fifo is not None:
                    self._fifo.take(reader.events_address, n, len(self.instruments.known))
                self._chunk(reader, n)
                if until_ns is not None and self._passed(until_ns):
                    break
        except DataError as error:
            damage = error
        state.at_end = 1
        self._chunk(reader, 0)
        for index, watched in self.asked.items():
            self._trim(watched, index)
        return damage

    def _open(self, instrument: Instrument) -> None:
        self._books.open(instrument)
        if instrument.index >= len(self._watches):
            self._watches = np.concatenate([self._watches, np.zeros_like(self._watches)])
        watch, watched = self._watches[instrument.index], self.asked.get(instrument.index)
        watch["clock"] = CLOCK_START
        if watched is not None:
            for name, value in (
                ("wanted", 1), ("times", watched.times.ctypes.data), ("quotes", watched.quotes.ctypes.data), ("n", len(watched.times)),
                ("bar_ns", watched.bar_ns), ("bars", watched.bars.ctypes.data), ("bars_capacity", len(watched.bars)),
                ("heats", watched.heats.ctypes.data), ("heats_n", len(watched.heats)),
            ):  # fmt: skip
                watch[name] = value
        self._state.books = self._books.address
        self._state.watches, self._state.watches_n = self._watches.ctypes.data, instrument.index + 1

    def _chunk(self, reader: Any, n: int) -> None:
        state = self._state
        state.events, state.n, state.x = reader.events_address, n, 0
        while (status := self._observe()) != DONE:
            if status == MAKE_ROOM:
                self._books.make_room(int(state.room_instrument), int(state.room_side), int(state.room_level))
            else:
                self._grow(int(reader.events["instrument"][int(state.x)]), status)

    def _grow(self, index: int, status: int) -> None:
        watch, watched = self._watches[index], self.asked[index]
        if status == BARS_FULL:
            watched.bars = np.concatenate([watched.bars, np.zeros_like(watched.bars)])
            watch["bars"], watch["bars_capacity"] = watched.bars.ctypes.data, len(watched.bars)
        elif status == PRINTS_FULL:
            place = int(watch["heats_done"])
            window = watched.windows[place]
            window.prints = np.concatenate([window.prints, np.zeros_like(window.prints)])
            watched.heats[place]["prints"], watched.heats[place]["prints_capacity"] = window.prints.ctypes.data, len(window.prints)

    def _passed(self, time_ns: int) -> bool:
        return all(index < int(self._state.watches_n) and self._watches[index]["clock"] > time_ns for index in self.asked)

    def _trim(self, watched: Watched, index: int) -> None:
        """Cut what was grown to what was written."""
        seen = index < int(self._state.watches_n)
        watched.bars = watched.bars[: int(self._watches[index]["bars_n"]) if seen else 0].copy()
        for window, heat in zip(watched.windows, watched.heats, strict=True):
            window.prints = window.prints[: int(heat["prints_n"])].copy()
