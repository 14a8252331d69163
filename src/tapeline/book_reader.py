"""Reads an input through the books and gives out rows of what they show: the common part of `tapeline.depth` and `tapeline.features`."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import as_strided

from tapeline.config import Limits
from tapeline.delays import Duration, duration_ns
from tapeline.errors import ConfigError, DataError
from tapeline.frames import TIME
from tapeline.inputs import Data, Reader, open_input, reader_of, registry
from tapeline.instruments import Instrument
from tapeline.jit import JIT, going
from tapeline.market.book import DONE, MAKE_ROOM
from tapeline.market.books import Books, Looks, set_plan
from tapeline.market.direct import normalise_into_books, play_into_books, replay_waiting
from tapeline.market.replay import HEAD_COLUMNS, Replay, keep_columns, replay
from tapeline.market.touch import replay_touch
from tapeline.market.trace import ROWS
from tapeline.memory import address_of, field
from tapeline.pages import left_over
from tapeline.tape.player import TapePlayer
from tapeline.tape.read_ahead import ReadAhead

LEVEL_ITEMS: Final = 3
"""Integers of a level: price, size, count."""
HEAD: Final = int(HEAD_COLUMNS)
"""Integers in front of a row's values: ts_event, ts_recv, sequence, instrument."""
CHUNK_ROWS: Final = 1 << 15
"""That are held at a time: so many that a column more costs Python nothing per row (half of a frame's time were it an eighth), and a few columns stay in the
second cache."""
CHUNK_BYTES: Final = 1 << 24
"""Of columns that are held at a time, at most: wide rows stay in the last cache."""
CHUNK_ROWS_MIN: Final = 1024
BLOCK_BYTES: Final = 1 << 13
"""Of rows that are collected in the first cache before they are added to the chunk's columns."""
_LINE: Final = 8
"""Numbers in a cache line: columns are an odd number of lines apart, so that they lie in different sets of a cache."""

_IDS: Final = {"instrument_id": np.uint32, "publisher_id": np.uint16}
Rows = npt.NDArray[np.int64]


class BookReader:
    """Replays an input; memory does not grow with its length. Subclasses say what a row is."""

    row_items: int
    threads = 1
    """On how many the input is read."""
    is_direct = True
    """Whether books may be kept without tape events, where nothing else needs them."""

    def __init__(self, data: Data, looks: Looks, every: Duration, **instruments: Any) -> None:
        """Open the input. `looks`: at which levels and features; `instruments`: tick_size, definitions, instruments of Backtest.

        Raises ConfigError and DataError.
        """
        self._interval_ns = 0 if every == "event" else duration_ns(every, "every")
        if every != "event" and self._interval_ns == 0:
            raise ConfigError(f"every={every!r}: expected 'event' or a duration such as '1s'")
        self._keep: list[Any] = []
        self._state = state = Replay.array(1)[0]
        state.interval, state.interval_end = self._interval_ns, -(2**63)
        set_plan(state.plan, [looks], self._keep, traced=True)
        self._books = Books(state.plan, Limits().ladder_levels_max)
        self._chunk = [field(state, name) for name in ("events", "n", "x")]
        self._room = [field(state, name) for name in ("room_instrument", "room_side", "room_level")]
        self._input = open_input(data)
        self._instruments = registry(self._input, multiplier=1.0, **instruments)  # no money is counted
        self._ids: dict[str, Any] = {name: np.empty(0, dtype) for name, dtype in _IDS.items()}
        self._reader: Any = None
        self._counted: dict[str, int] = {}
        self.each_chunk: Callable[[int, int, int], None] | None = None
        """Called for each chunk of tape events, before its rows are given out: their address, their number, and how many books there are."""

    @property
    def empty(self) -> pl.DataFrame:
        """A frame without rows."""
        return self.frame(np.empty((0, self.row_items), np.int64))

    @property
    def counters(self) -> dict[str, int]:
        """What the normaliser counted so far."""
        return self._reader.counters if self._reader is not None else self._counted

    def whole(self) -> pl.DataFrame:
        """All rows in one frame. Raises DataError where the input is damaged; its `result` attribute has the frame of everything before."""
        frames = [self.empty]
        try:
            frames.extend(self.chunks())
        except DataError as damage:
            damage.result = pl.concat(frames)
            raise
        return pl.concat(frames)

    def chunks(self) -> Iterator[pl.DataFrame]:
        """Frames of rows, none of them empty. Raises DataError, when all before it was given out, where the input is damaged."""
        runs = self.runs() if self._interval_ns == 0 else self._last_of_intervals(self.runs())
        for rows in runs:
            if len(rows):
                yield self.frame(rows)

    def frame(self, rows: Rows) -> pl.DataFrame:
        """Rows as a frame of its own memory."""
        raise NotImplementedError

    def framed(self, rows: Rows, values: Sequence[pl.Series]) -> pl.DataFrame:
        """A frame of the columns that say when, and of which instrument, from the first of the rows, and of others behind them."""
        ts_event, ts_recv = (column.cast(TIME) for column in self.columns(rows[:, :2], ("ts_event", "ts_recv")))
        sequence = pl.Series("sequence", rows[:, 2].astype(np.uint32))  # a seventh of the time of a cast, which looks for what does not fit
        return ts_event.to_frame().hstack([ts_recv, sequence, *self._who(rows[:, 3]), *values])  # pl.DataFrame looks at each once more: four times as long

    def _who(self, places: npt.NDArray[np.int64]) -> Iterator[pl.Series]:
        """Instruments and publishers."""
        known = self._instruments.known
        if len(known) != len(self._ids["instrument_id"]):
            self._ids = {name: np.array([getattr(i, name) for i in known], dtype) for name, dtype in _IDS.items()}
        for name, ids in self._ids.items():
            yield pl.Series(name, ids).new_from_index(0, len(places)) if len(known) == 1 else pl.Series(name, ids.take(places))

    def columns(self, rows: Rows, names: Sequence[str], dtype: Any = np.int64) -> list[pl.Series]:
        """The columns of rows. They are slices of one Series, which takes a third of the time of making each by itself."""
        n, k = rows.shape
        if n == 0:
            return [pl.Series(name, np.empty(0, dtype)) for name in names]
        columns = rows.T if rows.strides[0] == rows.itemsize else np.ascontiguousarray(rows.T)
        step = columns.strides[0] // rows.itemsize
        whole = pl.Series(as_strided(columns, ((k - 1) * step + n,), (rows.itemsize,)).view(dtype))
        return [whole.slice(first, n).alias(name) for first, name in zip(range(0, k * step, step), names, strict=True)]

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Those seen so far, or asked for, in order of their index."""
        return tuple(self._instruments.known)

    def _open(self, instrument: Instrument) -> None:
        self._books.open(instrument)
        self._state.books = self._books.address

    def _replay(self) -> Callable[[], int]:
        """What goes on with the state until the driver has to act."""
        return going(replay_touch if self._state.by_column else replay, self._state)

    def _keep_books(self, reader: Reader) -> None:
        """Have records put into the books at once, where nothing asks for tape events (market.direct)."""
        if isinstance(reader, ReadAhead) or not self.is_direct or not self._state.by_column or self._interval_ns > 0 or self.each_chunk is not None:
            return
        if JIT:
            replay_waiting.place(self._state)
        reader.keep_books(play_into_books if isinstance(reader, TapePlayer) else normalise_into_books, address_of(self._state))

    def runs(self) -> Iterator[Rows]:
        """Rows in chunks, each column in one piece. Their memory is used again when nobody refers to it."""
        go_on = self._replay()
        self._reader = reader = reader_of(self._input, self._instruments, self._open, threads=self.threads)
        self._keep_books(reader)
        try:
            for n, _ in reader.chunks():
                if self.each_chunk is not None:
                    self.each_chunk(reader.events_address, n, len(self._instruments.known))
                if not reader.in_books:
                    for where, value in zip(self._chunk, (reader.events_address, n, 0), strict=True):
                        where.value = value
                status = n if reader.in_books else go_on()
                while status != DONE:
                    if status == MAKE_ROOM:
                        self._books.make_room(*(where.value for where in self._room))
                    else:
                        yield self._taken()
                        self._give_columns()
                    status = go_on()
        except DataError as damage:
            yield self._taken()
            raise damage from None
        finally:  # it refers to this object: their memory, a million orders', would wait for the garbage collector
            self._counted, self._reader = reader.counters, None
        yield self._taken()

    def _lay_out_levels(self, columns_n: int, chunk_bytes: int) -> None:
        """Have memory for rows of levels, of which the first numbers are given out."""
        plan, width = self._state.plan, HEAD + 2 * int(self._state.plan.depth) * LEVEL_ITEMS
        self._state.by_column = plan.depth == 1 and not plan.features
        self._lay_out(width, columns_n, chunk_bytes, ROWS if self._state.by_column else BLOCK_BYTES // (8 * width) & -_LINE or _LINE)

    def _lay_out(self, width: int, columns_n: int, chunk_bytes: int, block: int) -> None:
        """Have memory for rows of `width` numbers, given out in so many columns, about `chunk_bytes` at a time; `block` rows are collected first."""
        self._block = np.zeros((block + _LINE, width), np.int64)
        self._columns_n = columns_n
        rows = max(min(CHUNK_ROWS, chunk_bytes // (8 * max(columns_n, 1))), CHUNK_ROWS_MIN)
        self._capacity = -(-rows // (2 * _LINE * block)) * 2 * _LINE * block  # an even number of lines
        self._free: list[npt.NDArray[np.int64]] = []
        state = self._state
        state.rows, state.rows_capacity, state.row_size = self._block.ctypes.data, block, 8 * width
        state.columns_n, state.column_size, state.kept_capacity = columns_n, 8 * (self._capacity + _LINE), self._capacity
        self._filled = [field(state, name) for name in ("columns", "fetched", "fetched_lines", "kept_n")]
        self._keep_columns = going(keep_columns, state)
        self._give_columns()

    def _give_columns(self) -> None:
        """Columns to be filled: in the memory of a chunk that nobody has any more, if there is one. Fresh memory takes as long to be had as to be filled."""
        shape = self._columns_n, self._capacity + _LINE
        memory = self._free.pop() if self._free else left_over(shape[0] * shape[1] + _LINE, np.int64)
        lease = np.frombuffer(memory.data, np.int64)  # which all views of it refer to
        weakref.finalize(lease, self._free.append, memory).atexit = False
        first = -memory.ctypes.data % (8 * _LINE) // 8  # of a line
        self._columns = lease[first : first + shape[0] * shape[1]].reshape(shape)
        address = self._columns.ctypes.data
        for where, value in zip(self._filled, (address, address, 0, 0), strict=True):
            where.value = value

    def _taken(self) -> Rows:
        self._keep_columns()
        taken = self._columns[:, : self._filled[-1].value].T
        del self._columns
        return taken

    def _last_of_intervals(self, runs: Iterator[Rows]) -> Iterator[Rows]:
        """Of each instrument's rows in one interval the last; those of the interval that is still open are held back."""
        held = np.empty((0, self.row_items), np.int64)
        newest = np.int64(np.iinfo(np.int64).min)
        try:
            for run in runs:
                rows = np.concatenate((held, run))
                interval = np.maximum(np.maximum.accumulate(rows[:, 1] // self._interval_ns), newest)
                newest = interval[-1] if len(interval) else newest
                _, last_from_end = np.unique(np.stack((interval, rows[:, 3]))[:, ::-1], axis=1, return_index=True)
                last = np.sort(len(rows) - 1 - last_from_end)
                is_open = interval[last] == newest
                held = rows[last[is_open]]
                yield rows[last[~is_open]]
        except DataError as damage:
            yield held
            raise damage from None
        yield held
