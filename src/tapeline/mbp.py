"""The book itself: the best levels of every instrument after each event that changed them, in the columns of Databento's mbp-10."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tapeline.backtest import Data, paths_of, registry
from tapeline.config import Limits, duration_ns
from tapeline.constants import UNDEFINED_PRICE
from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn import DbnInput
from tapeline.instruments import Instrument
from tapeline.market.books import Books, set_plan
from tapeline.market.replay import DONE, HEAD_SIZE, MAKE_ROOM, Replay, replay
from tapeline.tape.reader import TapeReader

LEVELS_MAX: Final = 10_000
CHUNK_BYTES: Final = 1 << 24
"""Of rows that are held at a time, about."""
CHUNK_ROWS_MIN: Final = 1024
_HEAD: Final = int(HEAD_SIZE) // 8
_LEVEL: Final = 3
"""Integers in front of a row's levels, and of a level: price, size, count."""

Rows = npt.NDArray[np.int64]


def depth(  # noqa: PLR0913 - settings by keyword, as in Backtest
    data: Data,
    levels: int = 10,
    every: str | int = "event",
    *,
    tick_size: str | float | None = None,
    definitions: Data | None = None,
    instruments: Sequence[str | int] | None = None,
) -> pl.DataFrame:
    """The `levels` best prices of each side, one row per event that changed one of them.

    Columns: `ts_event`, `ts_recv`, `sequence`, `instrument_id`, `publisher_id` of the event's last record, then per level `bid_px_00`, `ask_px_00` (integers
    in 1e-9, null when absent), `bid_sz_00`, `ask_sz_00`, `bid_ct_00`, `ask_ct_00` (0 when absent), and so on. Events of a snapshot give no row: what it
    changed shows with the book's next ordinary event. `every="1s"`: one row per instrument and second of `ts_recv` in which something changed, with the last
    state in it; a `ts_recv` that runs back counts to the second that is open. Other settings as in Backtest.

    Raises ConfigError on settings that make no sense, and DataError where the input is damaged; its `result` attribute has the frame of everything before.
    """
    reader = DepthReader(data, levels, every, tick_size=tick_size, definitions=definitions, instruments=instruments)
    frames = [reader.empty]
    try:
        frames.extend(reader.chunks())
    except DataError as damage:
        damage.result = pl.concat(frames)
        raise
    return pl.concat(frames)


def depth_chunks(data: Data, levels: int = 10, every: str | int = "event", **settings: Any) -> Iterator[pl.DataFrame]:
    """What `depth` gives, frame by frame, for inputs whose rows do not fit in memory."""
    yield from DepthReader(data, levels, every, **settings).chunks()


class DepthReader:
    """Reads an input through the books; memory does not grow with its length."""

    def __init__(self, data: Data, levels: int = 10, every: str | int = "event", *, chunk_bytes: int = CHUNK_BYTES, **instruments: Any) -> None:
        """Open the input. `instruments`: tick_size, definitions, instruments of Backtest. Raises ConfigError and DataError."""
        if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= LEVELS_MAX:
            raise ConfigError(f"levels={levels!r}: expected an integer from 1 to {LEVELS_MAX:,}")
        self.levels = levels
        self._interval_ns = 0 if every == "event" else duration_ns(every, "every")
        if every != "event" and self._interval_ns == 0:
            raise ConfigError(f"every={every!r}: expected 'event' or a duration such as '1s'")
        self._keep: list[Any] = []
        self._state = state = Replay.array(1)[0]
        set_plan(state.plan, [(levels, ())], self._keep)
        self.row_items = _HEAD + 2 * levels * _LEVEL
        state.row_size = 8 * self.row_items
        self._rows = np.empty((max(chunk_bytes // int(state.row_size), CHUNK_ROWS_MIN), self.row_items), np.int64)
        state.rows, state.rows_capacity = self._rows.ctypes.data, len(self._rows)
        self._books = Books(state.plan, Limits().ladder_levels_max)
        source = DbnInput(paths_of(data))
        self._instruments = registry(source, multiplier=1.0, **instruments)  # no money is counted
        self._reader = TapeReader(source, self._instruments, self._open)

    @property
    def empty(self) -> pl.DataFrame:
        """A frame without rows."""
        return self.frame(np.empty((0, self.row_items), np.int64))

    @property
    def counters(self) -> dict[str, int]:
        """What the normaliser counted so far."""
        return self._reader.counters

    def chunks(self) -> Iterator[pl.DataFrame]:
        """Frames of rows, none of them empty. Raises DataError, when all before it was given out, where the input is damaged."""
        runs = self._runs() if self._interval_ns == 0 else self._last_of_intervals(self._runs())
        for rows in runs:
            if len(rows):
                yield self.frame(rows)

    def frame(self, rows: Rows) -> pl.DataFrame:
        """Rows as a frame of its own memory."""
        known = self._instruments.known
        place = rows[:, 3]
        head = {
            "ts_event": pl.Series(rows[:, 0]).cast(pl.Datetime("ns", "UTC")),
            "ts_recv": pl.Series(rows[:, 1]).cast(pl.Datetime("ns", "UTC")),
            "sequence": rows[:, 2].astype(np.uint32),
            "instrument_id": np.array([i.instrument_id for i in known], np.uint32)[place],
            "publisher_id": np.array([i.publisher_id for i in known], np.uint16)[place],
        }
        columns: dict[str, Any] = {}
        for k in range(self.levels):
            for field, name in enumerate(("px", "sz", "ct")):
                for side, first in (("bid", k), ("ask", self.levels + k)):
                    columns[f"{side}_{name}_{k:02}"] = rows[:, _HEAD + first * _LEVEL + field].copy()
        prices = [name for name in columns if "_px_" in name]
        return pl.DataFrame({**head, **columns}).with_columns(pl.when(pl.col(prices) != UNDEFINED_PRICE).then(pl.col(prices)))

    def _open(self, instrument: Instrument) -> None:
        self._books.open(instrument)
        self._state.books = self._books.array.ctypes.data

    def _runs(self) -> Iterator[Rows]:
        """Rows as the kernel writes them, to be copied before the next are asked for."""
        state = self._state
        try:
            for n, _ in self._reader.chunks():
                state.events, state.n, state.x = self._reader.events_address, n, 0
                while (status := replay(state)) != DONE:
                    if status == MAKE_ROOM:
                        self._books.make_room(int(state.room_instrument), int(state.room_side), int(state.room_level))
                    else:
                        yield self._taken()
        except DataError as damage:
            yield self._taken()
            raise damage from None
        yield self._taken()

    def _taken(self) -> Rows:
        n = int(self._state.rows_n)
        self._state.rows_n = 0
        return self._rows[:n]

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
