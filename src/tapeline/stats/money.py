"""PnL, of samples of equity: frames with a column `cell` (`summary.Frames`), grouped by columns that no cell has two of; drawdown, of a `net_curve` of them."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from tapeline.frames import Contract
from tapeline.tables import listed

_ROUNDING: Final = 1e-9
"""A change of a net equity below this share of the largest equity of its rows and instruments is rounding of what was added up, and no gain or loss."""
AMOUNTS: Final = ("gross", "fees", "net")


def notes(equity: pl.DataFrame, contracts: Mapping[str, Contract]) -> tuple[str, ...]:
    """What sums of money take for granted: that what has no currency has the same, and that a position without a mark is worth what it cost."""
    last = equity.group_by("row", "symbol", maintain_order=True).last()
    nameless = [name for name in last["symbol"].cast(pl.String).unique().sort() if name not in contracts or not contracts[name].currency]
    unmarked = last.filter(pl.col("position") != 0, pl.col("mark").is_null())
    found = []
    if len(nameless) > 1:
        found.append(f"The currency of {listed(nameless)} is not known (definitions= tells it): their money is added up as if it were one.")
    if unmarked.height:
        positions = [f"{position:+} {symbol} of {strategy}" for strategy, symbol, position in unmarked.select("strategy", "symbol", "position").rows()]
        found.append(f"No mid was seen with which to mark {listed(positions)}: what that position has won or lost since is not in the PnL.")
    return tuple(found)


def ratio(part: str, whole: str) -> pl.Expr:
    """The quotient, null unless whole > 0."""
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))


def pnl(equity: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns pnl_gross, fees and pnl_net per group: the last sample of each row and instrument, summed."""
    last = equity.group_by("cell", maintain_order=True).last()
    return last.group_by(by).agg(pl.col("gross").sum().alias("pnl_gross"), pl.col("fees").sum(), pl.col("net").sum().alias("pnl_net"))


def drawdown(curve: pl.DataFrame, by: list[str], start: pl.Expr, end: pl.Expr) -> pl.DataFrame:
    """Columns drawdown_max (currency) and drawdown_duration per group, of its `net_curve`.

    The equity from `start` (of the group, ns) to the first sample is 0, and so is the first high; that of the last sample lasts to `end`.
    """
    ts = pl.col("ts").to_physical()
    curve = curve.with_columns(fall=pl.col("net").cum_max().clip(lower_bound=0).over(by) - pl.col("net"))
    curve = curve.with_columns(under=pl.col("fall") > pl.col("noise"))
    curve = curve.with_columns(
        high=pl.coalesce(pl.when(~pl.col("under")).then(ts).forward_fill().over(by), start),
        until=pl.coalesce(ts.shift(-1).over(by), end),  # a fall ends with the sample that regains the high
    )
    length = pl.when("under").then(pl.col("until") - pl.col("high")).otherwise(0)
    return curve.group_by(by).agg(
        drawdown_max=pl.when("under").then("fall").otherwise(0.0).max(),
        drawdown_duration=length.max().cast(pl.Duration("ns")),
    )


def net_curve(equity: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Columns ts, net and noise per group and time, in order of group and time: the sum over the rows and instruments of the group, each as last sampled.

    `noise`: what is no change of it, but rounding.
    """
    change = pl.col("net") - pl.col("net").shift(1, fill_value=0.0).over("cell")
    steps = equity.select(*by, "ts", change=change, noise=_ROUNDING * pl.col("net").abs().max().over(by)).sort(*by, "ts", maintain_order=True)
    following = pl.col("ts").shift(-1).over(by)
    steps = steps.select(*by, "ts", "noise", net=pl.col("change").cum_sum().over(by), is_last=following.is_null() | (following != pl.col("ts")))
    return steps.filter("is_last").select(*by, "ts", "net", "noise")  # as grouping by time would do, in a fifth of its time


def cleared(amount: pl.Expr) -> pl.Expr:
    """A difference of values of a `net_curve`, 0 where it is no more than rounding: a ratio must not divide by that."""
    return pl.when(amount.abs() > pl.col("noise")).then(amount).otherwise(0.0)


def per_day(equity: pl.DataFrame, day: pl.Series) -> pl.DataFrame:
    """Samples with a column `day`, that of the time that they tell of; their amounts counted from the last sample of the day before."""
    days = equity.with_columns(day=day)
    ends = days.group_by(["cell", "day"], maintain_order=True).agg(pl.col(AMOUNTS).last())
    starts = ends.with_columns(pl.col(AMOUNTS).shift(1, fill_value=0.0).over("cell", order_by="day").name.suffix("_start")).drop(AMOUNTS)
    return days.join(starts, on=["cell", "day"], how="left", maintain_order="left").with_columns(
        *(pl.col(name) - pl.col(f"{name}_start") for name in AMOUNTS),
    )
