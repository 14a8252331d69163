"""What the market did around a run's fills, read again from the run's data: the mids that markouts need, and bars for the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from tapeline.columns import growing
from tapeline.constants import PRICE_SCALE, UNDEFINED_PRICE
from tapeline.errors import TapelineError
from tapeline.manifest import fingerprint, market_settings
from tapeline.stats.markouts import MIDS
from tapeline.stats.metrics import HORIZONS

if TYPE_CHECKING:
    from tapeline.observe import Watched

TIME: Final = pl.Datetime("ns", "UTC")
FILLS_ENOUGH: Final = 20_000
"""So many of the data's executions tell whether its venue matches by time, to half a percent; to count them all took as long as a run."""
BARS_MAX: Final = 100_000
"""Bars are of one second, or longer where a run would have more than this many."""
BARS_SCHEMA: Final[dict[str, pl.DataType | type[pl.DataType]]] = ({
    "symbol": pl.String, "ts": TIME, "bid": pl.Float64, "ask": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "events": pl.Int64, "trades": pl.Int64, "volume": pl.Int64,
})  # fmt: skip


class Observed(NamedTuple):
    """What was read."""

    mids: pl.DataFrame | None
    """A line per fill, in their order, with the columns `stats.markouts.MIDS`; None if the data could not be read."""
    bars: pl.DataFrame
    """Per symbol that was traded and second with events: best prices at its end, least and greatest of them (price units), events, trades, volume (lots)."""
    missing: str | None = None
    """Why there is nothing, or not all."""
    fifo: tuple[int, int] | None = None
    """The first executions of resting orders in the run's data (FILLS_ENOUGH or few more), and how many hit the front of their queue; None: not counted."""


def observe_run(manifest: Mapping[str, Any], symbols: Sequence[str], orders: pl.DataFrame, fills: pl.DataFrame) -> Observed:
    """Read a run's data again. `symbols` in order of their index. If the data is not what the run read, nothing is read, and `missing` says why."""
    traded = set(orders["symbol"].cast(pl.String).unique()) | set(fills["symbol"].cast(pl.String).unique())
    if not traded:
        return Observed(_no_mids(0), pl.DataFrame(schema=BARS_SCHEMA))
    problem = is_missing(manifest)
    if problem:
        return _nothing(problem)
    from tapeline.fifo import FifoCount  # noqa: PLC0415 - imports Numba, which statistics without data do without
    from tapeline.observe import Pass, Watched  # noqa: PLC0415 - same

    times = np.sort(np.concatenate([fills["ts_event"].drop_nulls().to_physical().to_numpy(), orders["ts_sent"].to_physical().to_numpy()]))
    bar_ns = max(1, -(-int(times[-1] - times[0]) // BARS_MAX // 10**9)) * 10**9
    parts = {symbol: fills.with_row_index("line").filter(pl.col("symbol").cast(pl.String) == symbol) for symbol in traded}
    asked = {symbol: _times(part) for symbol, part in parts.items()}
    watched = {symbol: Watched(times=growing(asked[symbol]), bar_ns=bar_ns) for symbol in traded}
    fifo, files = FifoCount(FILLS_ENOUGH), [file["path"] for file in manifest["data"]]
    try:
        damage = Pass(files, {symbols.index(s): w for s, w in watched.items()}, fifo=fifo, **market_settings(manifest)).run()
    except TapelineError as error:
        return _nothing(f"the run's data cannot be read again: {error}")
    frames = [_mids_frame(parts[symbol], asked[symbol], watched[symbol]) for symbol in traded]
    bars = [bars_frame(symbol, watched[symbol].bars) for symbol in sorted(traded)]
    problem = None if damage is None else f"the data is damaged: {damage}"
    return Observed(pl.concat(frames).sort("line").drop("line"), pl.concat(bars), problem, (fifo.fills, fifo.first))


def is_missing(manifest: Mapping[str, Any]) -> str | None:
    """Why a run's data cannot be read again, or None: it has moved, or is another by size and hash."""
    if not manifest.get("data"):
        return "the run's data is not known"
    for file in manifest["data"]:
        path = Path(file["path"])
        if not path.is_file():
            return f"the run's data is not there any more: {path}"
        if fingerprint(path) != file:
            return f"the run's data has changed since: {path}"
    return None


def bars_frame(symbol: str, bars: npt.NDArray[np.void]) -> pl.DataFrame:
    """Bars as a frame in price units."""
    prices = {name: _price(bars[name]) for name in ("bid", "ask", "low", "high")}
    prices["high"] = _price(np.where(bars["high"] == -UNDEFINED_PRICE, UNDEFINED_PRICE, bars["high"]))
    counts = {name: bars[name].copy() for name in ("events", "trades", "volume")}
    columns = {"symbol": [symbol] * len(bars), "ts": pl.Series(bars["start"].copy()).cast(TIME), **prices, **counts}
    return pl.DataFrame(columns, schema_overrides=BARS_SCHEMA)


def _price(values: npt.NDArray[np.int64]) -> pl.Series:
    return pl.Series(np.where(values == UNDEFINED_PRICE, np.nan, values / PRICE_SCALE)).fill_nan(None)


def _times(fills: pl.DataFrame) -> npt.NDArray[np.int64]:
    """(fills, 1 + horizons) of times at which the mid is asked for.

    A maker's fill is part of an event that moves the book, so "before" is a nanosecond earlier; a taker met the book as all events up to its arrival left it.
    """
    at = fills["ts_event"].to_physical().to_numpy()
    before = at - fills["is_maker"].cast(pl.Int64).to_numpy()
    return np.column_stack([before, *(at + ns for ns in HORIZONS.values())])


def _mids_frame(fills: pl.DataFrame, times: npt.NDArray[np.int64], watched: "Watched") -> pl.DataFrame:
    quotes = watched.quotes[np.searchsorted(watched.times, times)]
    known = (quotes["bid"] != UNDEFINED_PRICE) & (quotes["ask"] != UNDEFINED_PRICE)
    mids = np.where(known, (quotes["bid"] / PRICE_SCALE + quotes["ask"] / PRICE_SCALE) / 2, np.nan)
    return pl.DataFrame({"line": fills["line"]} | {name: pl.Series(mids[:, i]).fill_nan(None) for i, name in enumerate(MIDS)})


def _no_mids(lines: int) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series([None] * lines, dtype=pl.Float64) for name in MIDS})


def _nothing(problem: str) -> Observed:
    return Observed(None, pl.DataFrame(schema=BARS_SCHEMA), problem)
