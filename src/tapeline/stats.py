"""Statistics of a run, as pure functions over the frames of a Result. What is not defined (0 / 0) is null, never NaN.

Amounts of different currencies are never added: a row that trades in two currencies has a line for each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import polars as pl

from tapeline import tables

TOTAL: Final = "total"
_ROUNDING: Final = 1e-9
"""A drawdown below this share of the largest equity is rounding of the sum over instruments, not a loss."""

METRICS: Final = {
    "pnl_net": "PnL net of fees: cash + position at the mark − fees",
    "pnl_gross": "PnL before fees",
    "fees": "fees paid; negative: rebates received",
    "drawdown_max": "largest fall of the net equity from an earlier high (which starts at 0)",
    "drawdown_duration": "longest time from a high of the net equity until it was regained, or the end",
    "fills": "fills",
    "lots": "lots traded",
    "turnover": "notional traded, absolute",
    "maker_share": "share of the traded lots that were filled while resting",
    "large_share": "share of the traded lots in fills of more than half of what they traded against",
    "orders": "orders created, refused ones included",
    "orders_arrived": "orders that reached the exchange",
    "orders_filled": "orders with a fill",
    "fill_ratio_orders": "orders with a fill / orders that reached the exchange",
    "fill_ratio_lots": "lots filled / lots of the orders that were sent (refusals by the gateway are never sent)",
    "rejects": "orders refused, by gateway or exchange",
    "requests_refused": "cancels and modifies refused",
    "position_min": "smallest position in any one instrument",
    "position_max": "largest position in any one instrument",
    "position_end": "position at the end; null over several instruments",
}
"""Every metric and what it means; money in the line's currency, `drawdown_duration` as a polars Duration."""


class Frames(NamedTuple):
    """What statistics are made of: frames of a Result, with a column `currency`."""

    fills: pl.DataFrame
    orders: pl.DataFrame
    equity: pl.DataFrame


@dataclass(frozen=True)
class Stats:
    """Statistics; print it, or take `frame` (a line per strategy and currency, then totals) or `by_instrument`."""

    frame: pl.DataFrame
    by_instrument: pl.DataFrame

    def totals(self) -> list[dict[str, Any]]:
        """A line per currency over all strategies: the totals, or the line of the only strategy."""
        totals = self.frame.filter(pl.col("row").is_null())
        return (totals if totals.height else self.frame).to_dicts()

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """`{"strategies": […], "totals": […], "by_instrument": […]}` for JSON; durations in seconds."""
        parts = {
            "strategies": self.frame.filter(pl.col("row").is_not_null()),
            "totals": self.frame.filter(pl.col("row").is_null()).drop("row", "strategy"),
            "by_instrument": self.by_instrument,
        }
        seconds = pl.col("drawdown_duration").dt.total_nanoseconds() / 1e9
        return {name: part.with_columns(seconds.alias("drawdown_duration")).to_dicts() for name, part in parts.items()}

    def __str__(self) -> str:
        """A table, as wide as the terminal."""
        return tables.to_text(tables.stats_table(self.frame, METRICS))

    __repr__ = __str__

    def __rich__(self) -> object:
        """The table itself, for rich."""
        return tables.stats_table(self.frame, METRICS)

    def _repr_html_(self) -> str:
        return self.frame._repr_html_()


def statistics(fills: pl.DataFrame, orders: pl.DataFrame, equity: pl.DataFrame, currencies: Mapping[str, str] | None = None) -> Stats:
    """Statistics of the three frames of a Result; `currencies` by symbol."""
    frames = Frames(*(_with_currency(frame, currencies or {}) for frame in (fills, orders, equity)))
    by_strategy = summarise(frames, ["row", "strategy", "currency"])
    parts = [by_strategy]
    if by_strategy["row"].n_unique() > 1:
        total = summarise(frames, ["currency"]).with_columns(row=pl.lit(None, pl.Int32), strategy=pl.lit(TOTAL))
        parts.append(total.select(by_strategy.columns))
    return Stats(pl.concat(parts), summarise(frames, ["row", "strategy", "symbol", "currency"]))


def summarise(frames: Frames, by: list[str]) -> pl.DataFrame:
    """A line per group and a column per METRIC."""
    fills, orders, equity = frames
    groups = pl.concat([frame.select(by) for frame in frames]).unique().sort(by)
    for part in (pnl(equity, by), drawdown(equity, by), fills_summary(fills, by), orders_summary(orders, by), position_range(fills, equity, by)):
        groups = groups.join(part, on=by, how="left")
    counts = ["fills", "lots", "turnover", "orders", "orders_arrived", "orders_filled", "rejects", "requests_refused", "pnl_net", "pnl_gross", "fees"]
    groups = groups.with_columns(pl.col(counts).fill_null(0))
    return groups.with_columns(
        maker_share=_ratio("maker_lots", "lots"),
        large_share=_ratio("large_lots", "lots"),
        fill_ratio_orders=_ratio("orders_filled", "orders_arrived"),
        fill_ratio_lots=_ratio("lots_filled", "lots_sent"),
    ).select(*by, *METRICS)


def pnl(equity: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns pnl_gross, fees and pnl_net per group: the last sample of each row and instrument, summed."""
    last = equity.group_by([*by, *_cell(by)], maintain_order=True).last()
    return last.group_by(by).agg(pl.col("gross").sum().alias("pnl_gross"), pl.col("fees").sum(), pl.col("net").sum().alias("pnl_net"))


def drawdown(equity: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns drawdown_max (currency) and drawdown_duration per group, of the sum of the net equities of its rows and instruments.

    The equity before the first sample is 0, and so is the first high.
    """
    first = pl.col("ts").first().over(by)
    curve = net_curve(equity, by).with_columns(fall=pl.col("net").cum_max().clip(lower_bound=0).over(by) - pl.col("net"))
    under = pl.col("fall") > _ROUNDING * pl.col("net").abs().max().over(by)
    curve = curve.with_columns(under=under).with_columns(high=pl.when(~pl.col("under")).then("ts").forward_fill().over(by))
    # A fall ends with the sample that regains the high, so its length is counted there too.
    since = pl.col("ts") - pl.col("high").shift(1).over(by).fill_null(first)
    falling = pl.col("under") | pl.col("under").shift(1, fill_value=False).over(by)
    curve = curve.with_columns(length=pl.when(falling).then(since).otherwise(pl.duration(nanoseconds=0, time_unit="ns")))
    return curve.group_by(by).agg(pl.when("under").then("fall").otherwise(0.0).max().alias("drawdown_max"), pl.col("length").max().alias("drawdown_duration"))


def net_curve(equity: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns ts and net per group and time, in order of time: the sum over the rows and instruments of the group, each as last sampled."""
    cell = [*by, *_cell(by)]
    change = pl.col("net") - pl.col("net").shift(1, fill_value=0.0).over(cell)
    steps = equity.with_columns(change=change).sort("ts", maintain_order=True)
    steps = steps.with_columns(net=pl.col("change").cum_sum().over(by))
    return steps.group_by([*by, "ts"], maintain_order=True).agg(pl.col("net").last())


def fills_summary(fills: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns fills, lots, turnover (currency), maker_lots and large_lots per group."""
    return fills.group_by(by).agg(
        pl.len().cast(pl.Int64).alias("fills"),
        pl.col("size").sum().alias("lots"),
        pl.col("notional").sum().alias("turnover"),
        pl.col("size").filter("is_maker").sum().alias("maker_lots"),
        pl.col("size").filter("is_large").sum().alias("large_lots"),
    )


def orders_summary(orders: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns orders, orders_arrived, orders_filled, rejects, requests_refused, lots_sent and lots_filled per group."""
    rejected = pl.col("status") == "rejected"
    arrived = pl.col("ts_arrived").is_not_null()
    return orders.group_by(by).agg(
        pl.len().cast(pl.Int64).alias("orders"),
        arrived.sum().cast(pl.Int64).alias("orders_arrived"),
        (pl.col("filled") > 0).sum().cast(pl.Int64).alias("orders_filled"),
        rejected.sum().cast(pl.Int64).alias("rejects"),
        pl.col("requests_refused").sum().cast(pl.Int64),
        pl.col("size").filter(arrived | ~rejected).sum().alias("lots_sent"),
        pl.col("filled").sum().alias("lots_filled"),
    )


def position_range(fills: pl.DataFrame, equity: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns position_min, position_max (0 belongs to both) and position_end per group; the end is null unless the group is one row and instrument."""
    cell = [*by, *_cell(by)]
    ends = equity.group_by(cell, maintain_order=True).agg(pl.col("position").last().alias("end"))
    one = ends.group_by(by).agg(pl.when(pl.len() == 1).then(pl.col("end").first()).alias("position_end"))
    ranges = fills.group_by(by).agg(pl.col("position").min().alias("position_min"), pl.col("position").max().alias("position_max"))
    both = one.join(ranges, on=by, how="left")
    return both.with_columns(pl.col("position_min").fill_null(0).clip(upper_bound=0), pl.col("position_max").fill_null(0).clip(lower_bound=0))


def _cell(by: Iterable[str]) -> list[str]:
    """What to add to `by` to name one row in one instrument."""
    return [name for name in ("row", "symbol") if name not in by]


def _ratio(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))


def _with_currency(frame: pl.DataFrame, currencies: Mapping[str, str]) -> pl.DataFrame:
    symbol = pl.col("symbol").cast(pl.String)
    return frame.with_columns(pl.col("strategy").cast(pl.String), symbol, currency=symbol.replace_strict(dict(currencies), default="", return_dtype=pl.String))
