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
from tapeline.frames import TIME, price_column
from tapeline.manifest import fingerprint, market_settings
from tapeline.stats.markouts import MIDS
from tapeline.stats.metrics import HORIZONS

if TYPE_CHECKING:
    from tapeline.market_pass import Watched

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


def observe_run(manifest: Mapping[str, Any], symbols: Sequence[str], orders: pl.DataFrame, fills: pl.DataFrame, end_ns: int | None = None) -> Observed:
    """Read a run's data again. `symbols` in order of their index. If the data is not what the run read, nothing is read, and `missing` says why.

    `end_ns`: of a run that ended before its data did; what comes more than the longest horizon later need not be read.
    """
    traded = set(orders["symbol"].cast(pl.String).unique()) | set(fills["symbol"].cast(pl.String).unique())
    if not traded:
        return Observed(_no_mids(0), pl.DataFrame(schema=BARS_SCHEMA))
    problem = is_missing(manifest)
    if problem:
        return _nothing(problem)
    from tapeline.fifo import FifoCount  # noqa: PLC0415 - imports Numba, which statistics without data do without
    from tapeline.market_pass import Pass, Watched  # noqa: PLC0415 - same

    times = pl.concat([fills["ts_event"], orders["ts_sent"]]).drop_nulls().to_physical().to_numpy()
    bar_ns = max(1, -(-int(times.max() - times.min()) // BARS_MAX // 10**9)) * 10**9
    at, is_maker, lines = fills["ts_event"].to_physical().to_numpy(), fills["is_maker"].to_numpy(), _lines_of(fills)
    moments = {symbol: growing(at[lines.get(symbol, [])]) for symbol in sorted(traded)}
    watched = {symbol: Watched(times=growing(_times(of_symbol)), bar_ns=bar_ns) for symbol, of_symbol in moments.items()}
    index = {symbol: place for place, symbol in enumerate(symbols)}
    fifo, files = FifoCount(FILLS_ENOUGH), [file["path"] for file in manifest["data"]]
    try:
        until_ns = None if end_ns is None else end_ns + max(HORIZONS.values())
        damage = Pass(files, {index[s]: w for s, w in watched.items()}, fifo=fifo, **market_settings(manifest)).run(until_ns)
    except TapelineError as error:
        return _nothing(f"the run's data cannot be read again: {_sentence(error)}")
    mids = np.full((len(MIDS), fills.height), np.nan)
    for symbol, of_symbol in lines.items():
        known = _mids(_times(moments[symbol]), watched[symbol])
        mids[:, of_symbol] = _mids_of_fills(known.take(np.searchsorted(moments[symbol], at[of_symbol]), axis=1), is_maker[of_symbol])
    bars = bars_frame(list(watched), [one.bars for one in watched.values()])
    problem = None if damage is None else f"the data is damaged: {_sentence(damage)}"
    return Observed(
        pl.DataFrame([pl.Series(name, column).fill_nan(None) for name, column in zip(MIDS, mids, strict=True)]), bars, problem, (fifo.fills, fifo.first)
    )


def notes_of_fills(fills: pl.DataFrame, bars: pl.DataFrame) -> tuple[str, ...]:
    """What is odd about when fills were: before anybody had traded they are those of a pre-open that the run was not told of."""
    first = bars.filter(pl.col("trades") > 0).group_by("symbol").agg(pl.col("ts").min())
    fills = fills.select(pl.col("symbol").cast(pl.String), "ts_event")
    early = fills.join(first, on="symbol").filter(pl.col("ts_event") < pl.col("ts"))
    if not early.height:
        return ()
    fills_of = dict(fills.group_by("symbol").len().iter_rows())
    return tuple(
        f"{count:,} of {fills_of[symbol]:,} fills in {symbol} were before its first trade at {ts:%Y-%m-%d %H:%M:%S} UTC: "
        "in a pre-open nobody can trade, and a run knows of one by status= (docs/assumptions.md, Phases)."
        for symbol, ts, count in early.group_by("symbol", "ts").len().sort("symbol").rows()
    )


def _lines_of(fills: pl.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """By symbol, which lines of the frame are of it."""
    grouped = fills.select(pl.col("symbol").cast(pl.String), line=pl.int_range(pl.len())).group_by("symbol").agg("line")
    return {symbol: lines.to_numpy() for symbol, lines in zip(grouped["symbol"], grouped["line"], strict=True)}


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


def bars_frame(symbols: Sequence[str], bars_of: Sequence[npt.NDArray[np.void]]) -> pl.DataFrame:
    """Bars of symbols, one after the other, as a frame in price units."""
    bars = np.concatenate([np.empty(0, bars_of[0].dtype), *bars_of])
    prices = {name: price_column(name, bars[name]) for name in ("bid", "ask", "low")}
    prices["high"] = price_column("high", np.where(bars["high"] == -UNDEFINED_PRICE, UNDEFINED_PRICE, bars["high"]))
    counts = {name: bars[name].copy() for name in ("events", "trades", "volume")}
    named = pl.Series(symbols, dtype=pl.String).gather(np.repeat(np.arange(len(symbols)), [len(one) for one in bars_of]))
    columns = {"symbol": named, "ts": pl.Series(bars["start"].copy()).cast(TIME), **prices, **counts}
    return pl.DataFrame(columns, schema_overrides=BARS_SCHEMA)


def _times(moments: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(2 + horizons, moments) of times at which the mid is asked for: just before moments at which something was filled, then, and later."""
    return np.add.outer((-1, 0, *HORIZONS.values()), moments)


def _mids_of_fills(mids: npt.NDArray[np.float64], is_maker: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(1 + horizons, fills) of the mids before and after fills, of those at their times.

    A maker's fill is part of an event that moves the book, so "before" is a nanosecond earlier; a taker met the book as all events up to its arrival left it.
    """
    return np.vstack([np.where(is_maker, mids[0], mids[1]), mids[2:]])


def _mids(times: npt.NDArray[np.int64], watched: "Watched") -> npt.NDArray[np.float64]:
    """The mids at times, price units; NaN where there is none."""
    quotes = watched.quotes
    known = (quotes["bid"] != UNDEFINED_PRICE) & (quotes["ask"] != UNDEFINED_PRICE)
    mids = np.where(known, (quotes["bid"] / PRICE_SCALE + quotes["ask"] / PRICE_SCALE) / 2, np.nan)
    return mids.take(np.searchsorted(watched.times, times))


def _no_mids(lines: int) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series([None] * lines, dtype=pl.Float64) for name in MIDS})


def _sentence(error: TapelineError) -> str:
    """What it says; the full stop is for who makes a sentence of it."""
    return str(error).removesuffix(".")


def _nothing(problem: str) -> Observed:
    return Observed(None, pl.DataFrame(schema=BARS_SCHEMA), problem)
