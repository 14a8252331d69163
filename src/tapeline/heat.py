"""The book itself: a heat map of the size that rests over time and price, with best prices and trades."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from tapeline.constants import PRICE_SCALE, TIME_END, UNDEFINED_PRICE, Side
from tapeline.delays import is_integer
from tapeline.errors import ConfigError
from tapeline.frames import TIME, price_column
from tapeline.keywords import checked

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tapeline.inputs import Data
    from tapeline.instruments import Instrument, TickSize
    from tapeline.market_pass import Window
    from tapeline.result import Result

Time = str | int | datetime | np.datetime64
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COLUMNS: Final = 400
_SIDES: Final[dict[int, str]] = {int(Side.BID): "buy", int(Side.ASK): "sell"}
LEVELS: Final = 12
ROWS_MAX: Final = 400
"""More price levels are cut to those around the middle: a stub quote must not stretch the picture."""
COLUMNS_MAX: Final = 10_000
_BEYOND_US: Final = re.compile(r"[.,]\d{6}(\d+)")
_BARS: Final = 256
"""So often the best prices are looked at for the range."""


@dataclass(frozen=True, repr=False, eq=False)
class Heatmap:
    """Resting size over time and price in one instrument. In a notebook it shows itself; `figure()` gives the Plotly figure."""

    symbol: str
    times: pl.Series
    """(columns,) Datetime: where each column starts."""
    prices: Floats
    """(rows,) price units, growing, one per tick of the grid."""
    bid_size: Floats
    """(columns, rows) lots that rested on average over a column's time; NaN where the data has ended."""
    ask_size: Floats
    quotes: pl.DataFrame
    """Columns ts (the end of each column), bid, ask (price units)."""
    trades: pl.DataFrame
    """Columns ts, price, size, side (buy, sell or null: the aggressor's)."""

    @property
    def start(self) -> datetime:
        """Where the first column starts."""
        start: datetime = self.times[0]
        return start

    @property
    def end(self) -> datetime:
        """Where the last column ends."""
        end: datetime = self.quotes["ts"][-1]
        return end

    def to_frame(self) -> pl.DataFrame:
        """A line per cell with something in it: ts, price, bid_size, ask_size."""
        columns, rows = self.bid_size.shape
        cells = {"bid_size": self.bid_size.ravel(), "ask_size": self.ask_size.ravel()}
        lines = {"ts": self.times.gather(np.repeat(np.arange(columns), rows)), "price": np.tile(self.prices, columns), **cells}
        return pl.DataFrame(lines).fill_nan(None).filter((pl.col("bid_size") > 0) | (pl.col("ask_size") > 0))

    def figure(self, result: "Result | None" = None) -> "go.Figure":
        """The Plotly figure; with a result, its quotes and fills in the instrument are drawn on it."""
        from tapeline.report.book import heat_figure  # noqa: PLC0415 - Plotly takes a second to import

        return heat_figure(self, result)

    def __repr__(self) -> str:
        """One line."""
        form = "%Y-%m-%d %H:%M:%S"
        columns, rows = self.bid_size.shape
        return f"Heatmap({self.symbol}, {self.start:{form}} to {self.end:{form}} UTC: {columns} times × {rows} prices)"

    def _repr_mimebundle_(self, *arguments: Any, **options: Any) -> Any:
        return self.figure()._repr_mimebundle_(*arguments, **options)


class Span(NamedTuple):
    """A time of one instrument to look at; ns."""

    instrument: int
    """Its index."""
    start_ns: int
    end_ns: int


@checked
def heatmap(  # noqa: PLR0913 - settings by keyword, as in Backtest
    data: "Data",
    start: Time,
    end: Time,
    *,
    columns: int = COLUMNS,
    levels: int = LEVELS,
    tick_size: "TickSize | None" = None,
    definitions: "Data | None" = None,
    instruments: Sequence[str | int] | None = None,
) -> Heatmap:
    """The book of an instrument from `start` to `end` (UTC text such as "2023-12-25T23:00:00", datetimes, or ns), in `columns` intervals.

    Prices reach `levels` ticks beyond the best prices of that time (where the book is not crossed), and are at most 400: those around the middle. Sizes are
    averages over the time of each interval on the exchange's clock (`ts_event`), exact to the event, one of several times being of its first's; after the end
    of the data nothing is known, and they are 0. With several instruments in the data, the first of `instruments` is shown. Reads the data twice, up to `end`:
    first for the range of prices. Raises ConfigError and DataError.
    """
    span = Span(0, to_ns(start, "start"), to_ns(end, "end"))
    settings = {"tick_size": tick_size, "definitions": definitions, "instruments": instruments}
    return heatmaps(data, [span], columns=columns, levels=levels, settings=settings)[0]


def heatmaps(  # noqa: PLR0913 - settings by keyword, as above
    data: "Data",
    spans: Sequence[Span],
    *,
    columns: int = COLUMNS,
    levels: int = LEVELS,
    settings: Mapping[str, Any] | None = None,
    ticks: Sequence[Ints] | None = None,
) -> list[Heatmap]:
    """One per span; spans of one instrument must not overlap. Raises ConfigError and DataError.

    `ticks`: best prices of each span's time, in steps of the instrument's grid. Where they are not known, a pass over the data finds them.
    """
    from tapeline.market_pass import Pass, Watched, Window  # noqa: PLC0415 - imports Numba

    for name, value, most in (("columns", columns, COLUMNS_MAX), ("levels", levels, ROWS_MAX)):
        if not is_integer(value) or not 1 <= value <= most:
            raise ConfigError(f"{name}={value!r}: expected an integer from 1 to {most:,}")
    columns, levels = int(columns), int(levels)  # a time divided by a number of 32 bits is one
    for span in spans:
        if span.end_ns - span.start_ns < columns:
            raise ConfigError(f"start, end: expected a time of at least {columns} ns, one per column; end comes after start")
    windows: dict[Span, Window] = {}
    for span, best in zip(spans, ticks or _best_prices(data, spans, settings or {}), strict=True):
        low, rows = _range(best, span, levels)
        windows[span] = Window(span.start_ns, (span.end_ns - span.start_ns) // columns, columns, low, rows)
    asked = {}
    for index in {span.instrument for span in spans}:
        asked[index] = Watched(windows=sorted((w for s, w in windows.items() if s.instrument == index), key=lambda w: w.start_ns))
    drawn = Pass(data, asked, **(settings or {}))
    damage = drawn.run(max(span.end_ns for span in spans))
    if damage is not None:
        raise damage
    return [_heatmap(drawn.instruments.known[span.instrument], windows[span]) for span in spans]


def to_ns(time: Time, setting: str) -> int:
    """Nanoseconds since the epoch; text and datetimes without a zone are UTC. Raises ConfigError, naming the setting."""
    beyond_us = getattr(time, "nanosecond", 0)  # of pandas' Timestamp
    if isinstance(time, str):
        digits = _BEYOND_US.search(time)  # which Python reads and forgets
        beyond_us = int(digits[1].ljust(3, "0")[:3]) if digits else 0
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            raise _no_time(time, setting) from None
    if isinstance(time, np.datetime64):
        time = int(time.astype("datetime64[ns]").astype(np.int64))
    if isinstance(time, datetime):
        time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
        since = time - datetime(1970, 1, 1, tzinfo=UTC)
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000 + beyond_us
    if not is_integer(time) or not -TIME_END < int(time) < TIME_END:
        raise _no_time(time, setting)
    return int(time)


def _no_time(time: object, setting: str) -> ConfigError:
    return ConfigError(f"{setting}={time!r}: expected a time such as '2023-12-25T23:00:00' (UTC), a datetime, or nanoseconds")


def _best_prices(data: "Data", spans: Sequence[Span], settings: Mapping[str, Any]) -> list[Ints]:
    """Best prices of each span's time, in steps of the grid; where the book was never but crossed, those, too."""
    from tapeline.market_pass import Pass, Watched  # noqa: PLC0415 - imports Numba

    bar_ns = max(1, min(s.end_ns - s.start_ns for s in spans) // _BARS)
    asked = {i: Watched(times=np.unique([s.start_ns for s in spans if s.instrument == i]), bar_ns=bar_ns) for i in {s.instrument for s in spans}}
    look = Pass(data, asked, **settings)
    damage = look.run(max(span.end_ns for span in spans))
    if damage is not None:
        raise damage
    found = []
    for span in spans:
        watched, known = asked[span.instrument], look.instruments.known
        inside = watched.bars[(watched.bars["start"] >= span.start_ns - bar_ns) & (watched.bars["start"] < span.end_ns)]
        at_start = watched.quotes[np.searchsorted(watched.times, span.start_ns)]
        bids, asks = (np.append(inside[name], at_start[name]) for name in ("bid", "ask"))
        known_sides = (bids != UNDEFINED_PRICE) & (asks != UNDEFINED_PRICE)
        ordinary = known_sides & (bids < asks)  # where a book is crossed, its best prices are anywhere
        chosen = ordinary if ordinary.any() else known_sides
        prices = np.concatenate([bids[chosen], asks[chosen]])
        found.append(prices // known[span.instrument].grid if len(prices) else prices)
    return found


def _range(ticks: Ints, span: Span, levels: int) -> tuple[int, int]:
    """Lowest tick and number of ticks that show best prices, and `levels` beyond. Raises ConfigError if there are none."""
    if not len(ticks):
        raise ConfigError(f"no price from {_text(span.start_ns)} to {_text(span.end_ns)}: choose a time that the data has events of the instrument in")
    low, high, middle = int(ticks.min()) - levels, int(ticks.max()) + levels, int(np.median(ticks))
    return (low, high - low + 1) if high - low < ROWS_MAX else (max(low, middle - ROWS_MAX // 2), ROWS_MAX)


def _heatmap(instrument: "Instrument", window: "Window") -> Heatmap:
    starts = window.start_ns + np.arange(window.columns, dtype=np.int64) * window.bin_ns
    prices = [price_column(name, window.quotes[name]) for name in ("bid", "ask")]
    prints = window.prints
    side = [_SIDES.get(int(code)) for code in prints["side"]]
    trades = {"ts": _times(prints["ts"]), "price": prints["price"] / PRICE_SCALE, "size": prints["size"].copy(), "side": pl.Series(side, dtype=pl.String)}
    return Heatmap(
        symbol=instrument.symbol or str(instrument.instrument_id),
        times=_times(starts),
        prices=np.arange(window.tick_low, window.tick_low + window.rows).astype(np.float64) * instrument.grid / PRICE_SCALE,
        bid_size=window.sizes[:, 0],
        ask_size=window.sizes[:, 1],
        quotes=pl.DataFrame([_times(starts + window.bin_ns).alias("ts"), *prices]),
        trades=pl.DataFrame(trades),
    )


def _times(values: npt.NDArray[np.int64]) -> pl.Series:
    return pl.Series(values.copy()).cast(TIME)


def _text(ns: int) -> str:
    return str(pl.Series([ns]).cast(TIME)[0])
