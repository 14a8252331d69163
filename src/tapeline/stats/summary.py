"""All statistics together: a line per strategy, instrument, day, and the totals."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

import polars as pl

from tapeline import tables
from tapeline.delays import Duration, duration_ns, is_integer, is_number
from tapeline.errors import ConfigError
from tapeline.frames import Contract
from tapeline.stats import inventory, markouts, money, orders, risk, trips
from tapeline.stats.days import Days, DayStart
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
    "requests",
    "pnl_net",
    "pnl_gross",
    "fees",
)
"""What is 0, and not undefined, where there is nothing to count."""

_SYMBOLS_MAX, _DAYS_MAX = 1 << 32, 1 << 24
"""There are fewer instruments in a run, and days from the epoch."""


class Frames(NamedTuple):
    """What statistics are made of: frames of a Result with columns `cell` and `currency`, and what follows from them fill by fill.

    A cell is a row in an instrument (on a day): `cells` has their names, by number, and whether any line of a Result is of it (`is_told`), and not just of what
    follows: a position is held on days on which nothing happens. To group by a number takes a quarter of the time of grouping by names.
    """

    cells: pl.DataFrame
    fills: pl.DataFrame
    orders: pl.DataFrame
    equity: pl.DataFrame
    trips: pl.DataFrame
    spans: pl.DataFrame
    filled: pl.DataFrame

    def per_day(self, sampling: Sampling) -> "Frames":
        """The same with cells of a day: fills by when the strategy learned of them, orders by when they were sent, round trips by their end."""
        calendar = sampling.calendar
        dated = (
            _dated(self.fills, "ts_local", calendar),
            _dated(self.orders, "ts_sent", calendar),
            money.per_day(self.equity, calendar.of(self.equity.select(risk.told_of(sampling.start_ns)).to_series())),
            _dated(self.trips, "ts_close", calendar),
            inventory.spans_per_day(self.spans, calendar),
            _dated(self.filled, "ts_sent", calendar),
        )
        code = pl.col("cell").cast(pl.Int64) * _DAYS_MAX + pl.col("day").to_physical()
        told = _cells(dated[:3], code, "cell", "day")
        cells = _cells((told, *dated[3:]), code, "cell", "day")
        named = cells.join(self.cells.drop("is_told").with_row_index("cell"), on="cell", how="left", maintain_order="left")
        named = named.select(pl.exclude("cell", "code"), is_told=pl.col("code").is_in(told["code"].implode()))
        return Frames(named, *(_numbered(frame, code, cells["code"]) for frame in dated))

    def groups(self, by: list[str]) -> tuple[pl.DataFrame, pl.Series]:
        """The groups that cells of equal names form, in order, and the number of each cell's."""
        groups = self.cells.filter("is_told").select(by).unique().sort(by).with_row_index("group")
        return groups, self.cells.join(groups, on=by, how="left", maintain_order="left")["group"]

    def grouped(self, group: pl.Series) -> "Frames":
        """The frames with a column `group`: the number of the cell's."""
        return Frames(self.cells, *(frame.with_columns(group=group.gather(frame["cell"])) for frame in self[1:]))


class Settings(NamedTuple):
    """What ratios depend on besides the frames."""

    sampling: Sampling
    capital: float | None = None
    trials: int | None = None


class Stats:
    """Statistics; print it, or take `frame` (a line per strategy and currency, then totals), `by_instrument` or `by_day`."""

    notes: tuple[str, ...]
    """What the numbers assume: sampling interval, annualisation, days, and why something is missing."""

    def __init__(self, frames: Frames, settings: "Settings", notes: tuple[str, ...] = (), varied: Mapping[int, Mapping[str, str]] | None = None) -> None:
        """Of the frames of a Result, made when they are asked for. `varied`: by row, the parameters that tell rows apart, for tables."""
        self.frames, self.settings = frames, settings
        self.notes, self.varied = (*_notes(settings), *notes), dict(varied or {})
        self._measured: dict[bytes, pl.DataFrame] = {}

    def __getstate__(self) -> dict[str, Any]:
        """To be pickled: what was made of the frames, without them."""
        return {"notes": self.notes, "varied": self.varied} | {name: getattr(self, name) for name in ("frame", "by_instrument", "by_day")}

    @cached_property
    def frame(self) -> pl.DataFrame:
        """A line per strategy and currency, then totals per currency where there are several strategies."""
        by_strategy = self._by("row", "strategy", "currency")
        if by_strategy["row"].n_unique() < 2:
            return by_strategy
        total = self._by("currency").with_columns(row=pl.lit(None, pl.Int32), strategy=pl.lit(TOTAL))
        return pl.concat([by_strategy, total.select(by_strategy.columns)])

    @cached_property
    def by_instrument(self) -> pl.DataFrame:
        """A line per strategy and instrument."""
        return self._by("row", "strategy", "symbol", "currency")

    @cached_property
    def by_day(self) -> pl.DataFrame:
        """A line per strategy, currency and day."""
        sampling, names = self.settings.sampling, ["row", "strategy", "currency"]
        if sampling.days != 1:
            frames = self.frames.per_day(sampling)
            groups, group = frames.groups([*names, "day"])
            return summarise(groups, measured(frames.grouped(group), ["group", "day"], sampling), self.settings)
        day = sampling.calendar.of(pl.Series([sampling.start_ns])).first()
        return self._by(*names).select(*names, pl.lit(day, pl.Date).alias("day"), pl.exclude(*names)).with_columns(sharpe_deflated=pl.lit(None, pl.Float64))

    def _by(self, *names: str) -> pl.DataFrame:
        """A line per group. Where others were of the same cells, as a strategy in one instrument is, what was measured of them is not measured again."""
        groups, group = self.frames.groups(list(names))
        same = group.to_numpy().tobytes()
        if same not in self._measured:
            self._measured[same] = measured(self.frames.grouped(group), ["group"], self.settings.sampling)
        return summarise(groups, self._measured[same], self.settings)

    def totals(self) -> list[dict[str, Any]]:
        """A line per currency over all strategies: the totals, or the line of the only strategy."""
        return self.total_lines.to_dicts()

    @property
    def total_lines(self) -> pl.DataFrame:
        """The same as a frame."""
        totals = self.frame.filter(pl.col("row").is_null())
        return totals if totals.height else self.frame

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
        return tables.stats_table(self.frame, METRICS, self.notes, self.varied)

    def _repr_html_(self) -> str:
        return tables.stats_html(self.frame, METRICS, self.notes, self.varied)


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
    day_starts: str | None = None,
    notes: tuple[str, ...] = (),
    varied: Mapping[int, Mapping[str, str]] | None = None,
) -> Stats:
    """Statistics of the frames of a Result.

    `contracts`: by symbol. `varied`: see Stats. `mids`: see `tapeline.stats.markouts`. `interval`: the periods of Sharpe and its kin, default a minute, or
    a day where there are 20 days or more. `capital`: what returns are counted on. `trials`: how many strategies were tried, if more than are in the result.
    `day_starts`: when days begin, such as "17:00 America/Chicago"; default midnight, UTC.
    """
    settings = Settings(Sampling.of(fills, orders_frame, equity, _period(interval), DayStart.of(day_starts)), capital, trials)
    if capital is not None and not (is_number(capital) and capital > 0):
        raise ConfigError(f"capital={capital!r}: expected a number above 0")
    if trials is not None and not (is_integer(trials) and trials > 0):
        raise ConfigError(f"trials={trials!r}: expected a whole number above 0")
    frames = prepare(fills, orders_frame, equity, contracts or {}, mids, settings.sampling)
    return Stats(frames, settings, (*money.notes(equity, contracts or {}), *notes), varied)


def measured(frames: Frames, group: list[str], sampling: Sampling) -> pl.DataFrame:
    """What there is to be measured of groups, a line for each; `group`: the columns that tell them apart, its number and perhaps its day."""
    fills, equity = frames.fills, frames.equity
    curve = money.net_curve(equity, group)
    first, *parts = (
        money.pnl(equity, group),
        money.drawdown(curve, group, *sampling.bounds(group)),
        risk.risk(curve, group, sampling),
        markouts.markouts_summary(fills, group),
        orders.fills_summary(fills, group),
        trips.trips_summary(frames.trips, group),
        inventory.position_range(frames.spans, equity, group),
        inventory.position_over_time(frames.spans, equity, group, sampling),
        orders.orders_summary(frames.orders, group),
        frames.filled.group_by(group).agg(time_to_fill_median=pl.col("time_to_fill").median()),
    )
    for part in parts:
        first = first.join(part, on=group, how="full", coalesce=True)
    return first


def summarise(groups: pl.DataFrame, parts: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """A line per group and a column per METRIC, of what was measured of groups."""
    by = [name for name in groups.columns if name != "group"]
    groups = groups.join(parts, on=["group", *(name for name in by if name == "day")], how="left", maintain_order="left")
    groups = groups.with_columns(pl.col(_ZERO).fill_null(0))
    groups = groups.with_columns(
        pnl_per_lot=money.ratio("pnl_net", "lots"),
        pnl_per_turnover=money.ratio("pnl_net", "turnover") * 10_000,
        return_on_capital=pl.col("pnl_net") / pl.lit(settings.capital, pl.Float64),
        calmar=money.ratio("pnl_per_year", "drawdown_max"),
        inventory_pnl=pl.col("pnl_gross") - pl.col("spread_capture") - pl.col("adverse_selection"),
        order_to_trade=money.ratio("requests", "fills"),
    )
    is_trial = by == ["row", "strategy", "currency"]
    groups = risk.with_deflation(groups, settings.trials) if is_trial else groups.with_columns(sharpe_deflated=pl.lit(None, pl.Float64))
    return groups.select(pl.col(by), *METRICS).with_columns(pl.col("currency").cast(pl.String))


def prepare(  # noqa: PLR0913, PLR0917 - the parts of a Result
    fills: pl.DataFrame, placed: pl.DataFrame, equity: pl.DataFrame, contracts: Mapping[str, Contract], mids: pl.DataFrame | None, sampling: Sampling
) -> Frames:
    """The frames with cells, currency, markouts, round trips, positions over time."""
    code = pl.col("row").cast(pl.Int64) * _SYMBOLS_MAX + pl.col("symbol").to_physical()
    cells = _cells((fills, placed, equity), code, "row", "strategy", "symbol")
    fills, placed, equity = (_numbered(frame, code, cells["code"]) for frame in (fills, placed, equity))
    of_cells = [contracts.get(symbol, Contract("", 1.0, 0.0)) for symbol in cells["symbol"]]
    currency = pl.Series("currency", [contract.currency for contract in of_cells], pl.String)
    currency = currency.cast(pl.Enum(currency.unique().sort()))
    multiplier = pl.Series("multiplier", [contract.multiplier for contract in of_cells], pl.Float64)
    fills, placed, equity = (frame.with_columns(currency.gather(frame["cell"])) for frame in (fills, placed, equity))
    fills = markouts.with_gains(fills.with_columns(multiplier.gather(fills["cell"])), mids)
    follow = (trips.round_trips(fills), inventory.spans(fills, sampling.end_ns), orders.times_to_fill(placed, fills))
    return Frames(cells.drop("code").with_columns(currency, pl.col("strategy").cast(pl.String), is_told=True), fills, placed, equity, *follow)


def _cells(frames: Iterable[pl.DataFrame], code: pl.Expr, *names: str) -> pl.DataFrame:
    """Each cell of frames, by a number that tells it from others and grows with its names."""
    return pl.concat([frame.select(*names, code=code).unique("code") for frame in frames]).unique("code").sort("code")


def _numbered(frame: pl.DataFrame, code: pl.Expr, codes: pl.Series) -> pl.DataFrame:
    """A frame with a column `cell`: the place of a line's code among those of cells."""
    return frame.with_columns(cell=codes.search_sorted(frame.select(code).to_series()))


def _notes(settings: Settings) -> tuple[str, ...]:
    sampling = settings.sampling
    days = f"{sampling.days} {'day' if sampling.days == 1 else 'days'} ({sampling.calendar.day_start})"
    periods = f"net PnL per {sampling.interval_ns / 1e9:,g} s, {sampling.periods:,} periods on {days}"
    year = f"annualised to {sampling.periods_per_year:,.0f} periods: {DAYS_PER_YEAR} days as long as those seen"
    return (
        f"Sharpe, Sortino and Calmar: {periods}, {year}.",
        f"Markouts: mid {', '.join(HORIZONS)} after each fill on the exchange's clock, per lot; adverse selection is counted up to {SPLIT_HORIZON}.",
    )


def _dated(frame: pl.DataFrame, time: str, calendar: Days) -> pl.DataFrame:
    return frame.with_columns(day=calendar.of(frame[time]))
