"""All statistics together: a line per strategy, instrument, day, and the totals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

from tapeline import tables
from tapeline.delays import Duration, duration_ns
from tapeline.errors import ConfigError
from tapeline.frames import Contract
from tapeline.stats import inventory, markouts, money, orders, risk, trips
from tapeline.stats.metrics import DURATIONS, HORIZONS, METRICS, SPLIT_HORIZON
from tapeline.stats.risk import DAYS_PER_YEAR, Sampling

TOTAL: Final = "total"
_ZERO: Final = (
    "fills",
    "lots",
    "turnover",
    "trades",
    "orders",
    "orders_arrived",
    "orders_filled",
    "rejects",
    "requests_refused",
    "pnl_net",
    "pnl_gross",
    "fees",
)
"""What is 0, and not undefined, where there is nothing to count."""


class Frames(NamedTuple):
    """What statistics are made of: frames of a Result with a column `currency`, and what follows from them fill by fill."""

    fills: pl.DataFrame
    orders: pl.DataFrame
    equity: pl.DataFrame
    trips: pl.DataFrame
    spans: pl.DataFrame
    filled: pl.DataFrame

    def per_day(self, sampling: Sampling) -> "Frames":
        """The same with a column `day`, UTC: fills by when the strategy learned of them, orders by when they were sent, round trips by their end."""
        return Frames(
            fills=_dated(self.fills, "ts_local"),
            orders=_dated(self.orders, "ts_sent"),
            equity=money.per_day(self.equity, risk.told_of(sampling.start_ns)),
            trips=_dated(self.trips, "ts_close"),
            spans=inventory.spans_per_day(self.spans),
            filled=_dated(self.filled, "ts_sent"),
        )


class Settings(NamedTuple):
    """What ratios depend on besides the frames."""

    sampling: Sampling
    capital: float | None = None
    trials: int | None = None


@dataclass(frozen=True)
class Stats:
    """Statistics; print it, or take `frame` (a line per strategy and currency, then totals), `by_instrument` or `by_day`."""

    frame: pl.DataFrame
    by_instrument: pl.DataFrame
    by_day: pl.DataFrame
    notes: tuple[str, ...] = ()
    """What the numbers assume: sampling interval, annualisation, days, and why something is missing."""

    def totals(self) -> list[dict[str, Any]]:
        """A line per currency over all strategies: the totals, or the line of the only strategy."""
        totals = self.frame.filter(pl.col("row").is_null())
        return (totals if totals.height else self.frame).to_dicts()

    def to_dict(self) -> dict[str, Any]:
        """`{"strategies": […], "totals": […], "by_instrument": […], "by_day": […], "notes": […]}` for JSON; durations in seconds, days as ISO dates."""
        parts = {
            "strategies": self.frame.filter(pl.col("row").is_not_null()),
            "totals": self.frame.filter(pl.col("row").is_null()).drop("row", "strategy"),
            "by_instrument": self.by_instrument,
            "by_day": self.by_day.with_columns(pl.col("day").cast(pl.String)),
        }
        seconds = [(pl.col(name).dt.total_nanoseconds() / 1e9).alias(name) for name in DURATIONS]
        return {**{name: part.with_columns(seconds).to_dicts() for name, part in parts.items()}, "notes": list(self.notes)}

    def __str__(self) -> str:
        """A table, as wide as the terminal, and the notes."""
        return tables.to_text(self.__rich__())

    __repr__ = __str__

    def __rich__(self) -> object:
        """The table itself, for rich."""
        return tables.stats_table(self.frame, METRICS, self.notes)

    def _repr_html_(self) -> str:
        return tables.stats_html(self.frame, METRICS, self.notes)


def _period(interval: Duration | None) -> int | None:
    """Nanoseconds of the periods asked for."""
    if interval is None:
        return None
    period = duration_ns(interval, "interval")
    if period == 0:
        raise ConfigError(f"interval={interval!r}: expected a duration above 0, such as '1m'")
    return period


def statistics(  # noqa: PLR0913 - the parts of a Result, then settings by keyword
    fills: pl.DataFrame,
    orders_frame: pl.DataFrame,
    equity: pl.DataFrame,
    contracts: Mapping[str, Contract] | None = None,
    mids: pl.DataFrame | None = None,
    *,
    interval: Duration | None = None,
    capital: float | None = None,
    trials: int | None = None,
    notes: tuple[str, ...] = (),
) -> Stats:
    """Statistics of the frames of a Result.

    `contracts`: by symbol. `mids`: see `tapeline.stats.markouts`. `interval`: the periods of Sharpe and its kin, default a minute, or
    a day where there are 20 days or more. `capital`: what returns are counted on. `trials`: how many strategies were tried, if more than are in the result.
    """
    settings = Settings(Sampling.of(fills, orders_frame, equity, _period(interval)), capital, trials)
    for name, value in {"capital": capital, "trials": trials}.items():
        if value is not None and not value > 0:
            raise ConfigError(f"{name}={value!r}: expected a number above 0")
    frames = prepare(fills, orders_frame, equity, contracts or {}, mids, settings.sampling)
    by_strategy = summarise(frames, ["row", "strategy", "currency"], settings)
    parts = [by_strategy]
    if by_strategy["row"].n_unique() > 1:
        total = summarise(frames, ["currency"], settings).with_columns(row=pl.lit(None, pl.Int32), strategy=pl.lit(TOTAL))
        parts.append(total.select(by_strategy.columns))
    return Stats(
        pl.concat(parts),
        by_instrument=summarise(frames, ["row", "strategy", "symbol", "currency"], settings),
        by_day=summarise(frames.per_day(settings.sampling), ["row", "strategy", "currency", "day"], settings),
        notes=(*_notes(settings), *notes),
    )


def summarise(frames: Frames, by: list[str], settings: Settings) -> pl.DataFrame:
    """A line per group and a column per METRIC."""
    fills, placed, equity = frames.fills, frames.orders, frames.equity
    groups = pl.concat([frame.select(by) for frame in (fills, placed, equity)]).unique().sort(by)
    parts = (
        money.pnl(equity, by),
        money.drawdown(equity, by),
        risk.risk(equity, by, settings.sampling),
        markouts.markouts_summary(fills, by),
        orders.fills_summary(fills, by),
        trips.trips_summary(frames.trips, by),
        inventory.position_range(frames.spans, equity, by),
        inventory.position_over_time(frames.spans, equity, by, settings.sampling),
        orders.orders_summary(placed, by),
        frames.filled.group_by(by).agg(time_to_fill_median=pl.col("time_to_fill").median()),
    )
    for part in parts:
        groups = groups.join(part, on=by, how="left", maintain_order="left")
    groups = groups.with_columns(pl.col(_ZERO).fill_null(0))
    groups = groups.with_columns(
        pnl_per_lot=money.ratio("pnl_net", "lots"),
        return_on_capital=pl.col("pnl_net") / pl.lit(settings.capital, pl.Float64),
        calmar=money.ratio("pnl_per_year", "drawdown_max"),
        inventory_pnl=pl.col("pnl_gross") - pl.col("spread_capture") - pl.col("adverse_selection"),
        order_to_trade=money.ratio("requests", "fills"),
    )
    is_trial = by == ["row", "strategy", "currency"]
    groups = risk.with_deflation(groups, settings.trials) if is_trial else groups.with_columns(sharpe_deflated=pl.lit(None, pl.Float64))
    return groups.select(*by, *METRICS)


def prepare(  # noqa: PLR0913, PLR0917 - the parts of a Result
    fills: pl.DataFrame, placed: pl.DataFrame, equity: pl.DataFrame, contracts: Mapping[str, Contract], mids: pl.DataFrame | None, sampling: Sampling
) -> Frames:
    """The frames with currency, multiplier, markouts, round trips, positions over time."""
    fills, placed, equity = (_with_contract(frame, contracts) for frame in (fills, placed, equity))
    fills = markouts.with_gains(fills, mids)
    return Frames(fills, placed, equity, trips.round_trips(fills), inventory.spans(fills, sampling.end_ns), orders.times_to_fill(placed, fills))


def _notes(settings: Settings) -> tuple[str, ...]:
    sampling = settings.sampling
    periods = f"net PnL per {sampling.interval_ns / 1e9:,g} s, {sampling.periods:,} periods on {sampling.days} {'day' if sampling.days == 1 else 'days'} (UTC)"
    year = f"annualised to {sampling.periods_per_year:,.0f} periods: {DAYS_PER_YEAR} days as long as those seen"
    return (
        f"Sharpe, Sortino and Calmar: {periods}, {year}.",
        f"Markouts: mid {', '.join(HORIZONS)} after each fill on the exchange's clock, per lot; adverse selection is counted up to {SPLIT_HORIZON}.",
    )


def _dated(frame: pl.DataFrame, time: str) -> pl.DataFrame:
    return frame.with_columns(day=pl.col(time).dt.date())


def _with_contract(frame: pl.DataFrame, contracts: Mapping[str, Contract]) -> pl.DataFrame:
    symbol = pl.col("symbol").cast(pl.String)
    currencies = {name: contract.currency for name, contract in contracts.items()}
    multipliers = {name: contract.multiplier for name, contract in contracts.items()}
    return frame.with_columns(
        pl.col("strategy").cast(pl.String),
        currency=symbol.replace_strict(currencies, default="", return_dtype=pl.String),
        multiplier=symbol.replace_strict(multipliers, default=1.0, return_dtype=pl.Float64),
    )
