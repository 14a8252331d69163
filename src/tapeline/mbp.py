"""The book itself: the best levels of every instrument after each event that changed them, in the columns of Databento's mbp-10."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import polars as pl

from tapeline.book_reader import CHUNK_BYTES, HEAD, LEVEL_ITEMS, BookReader, Rows
from tapeline.constants import UNDEFINED_PRICE
from tapeline.delays import Duration, is_integer
from tapeline.errors import ConfigError
from tapeline.inputs import Data
from tapeline.instruments import TickSize
from tapeline.keywords import checked
from tapeline.market.books import Looks

LEVELS_MAX: Final = 10_000


@checked
def depth(  # noqa: PLR0913 - settings by keyword, as in Backtest
    data: Data,
    levels: int = 10,
    every: Duration = "event",
    *,
    tick_size: TickSize | None = None,
    definitions: Data | None = None,
    instruments: Sequence[str | int] | None = None,
) -> pl.DataFrame:
    """The `levels` best prices of each side, one row per event that changed one of them.

    Columns: `ts_event`, `ts_recv`, `sequence`, `instrument_id`, `publisher_id` of the event's last record, then per level `bid_px_00`, `ask_px_00` (integers
    in 1e-9, null when absent), `bid_sz_00`, `ask_sz_00`, `bid_ct_00`, `ask_ct_00` (0 when absent), and so on. Events of a snapshot give no row: what it
    changed shows with the book's next ordinary event. `every="1s"`: one row per instrument and second of `ts_recv` in which something changed, with the last
    state in it; a `ts_recv` that runs back, of whichever instrument, counts to the second that is open. Other settings as in Backtest.

    Raises ConfigError on settings that make no sense, and DataError where the input is damaged; its `result` attribute has the frame of everything before.
    """
    return DepthReader(data, levels, every, tick_size=tick_size, definitions=definitions, instruments=instruments).whole()


@checked
def depth_chunks(  # noqa: PLR0913 - settings by keyword, as in Backtest
    data: Data,
    levels: int = 10,
    every: Duration = "event",
    *,
    tick_size: TickSize | None = None,
    definitions: Data | None = None,
    instruments: Sequence[str | int] | None = None,
) -> Iterator[pl.DataFrame]:
    """What `depth` gives, frame by frame, for inputs whose rows do not fit in memory."""
    yield from DepthReader(data, levels, every, tick_size=tick_size, definitions=definitions, instruments=instruments).chunks()


class DepthReader(BookReader):
    """Reads an input into rows of levels."""

    def __init__(self, data: Data, levels: int = 10, every: Duration = "event", *, chunk_bytes: int = CHUNK_BYTES, **instruments: Any) -> None:
        """Open the input. `instruments`: tick_size, definitions, instruments of Backtest. Raises ConfigError and DataError."""
        if not is_integer(levels) or not 1 <= levels <= LEVELS_MAX:
            raise ConfigError(f"levels={levels!r}: expected an integer from 1 to {LEVELS_MAX:,}")
        self.levels = levels = int(levels)
        super().__init__(data, Looks(levels), every, **instruments)
        self.row_items = HEAD + 2 * levels * LEVEL_ITEMS
        fields = ("px", "sz", "ct")
        self._names = [f"{side}_{field}_{k:02}" for side in ("bid", "ask") for k in range(levels) for field in fields]
        self._places = [(side * levels + k) * LEVEL_ITEMS + field for k in range(levels) for field in range(LEVEL_ITEMS) for side in range(2)]
        self._lay_out_levels(self.row_items, chunk_bytes)

    def frame(self, rows: Rows) -> pl.DataFrame:
        """Rows as a frame of its own memory."""
        of_rows = self.columns(rows[:, HEAD:], self._names)
        holed: list[str] = []
        for side, first in (("bid", HEAD), ("ask", HEAD + self.levels * LEVEL_ITEMS)):  # where a level is absent, all deeper ones are
            full = self.levels
            while full > 0 and UNDEFINED_PRICE in rows[:, first + (full - 1) * LEVEL_ITEMS]:
                full -= 1
            holed += (f"{side}_px_{k:02}" for k in range(full, self.levels))
        frame = self.framed(rows, [of_rows[place] for place in self._places])
        return frame.with_columns(pl.when(pl.col(holed) != UNDEFINED_PRICE).then(pl.col(holed))) if holed else frame
